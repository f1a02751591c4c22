(() => {
  "use strict";
  // Numbers by the number that a cell begins with, texts by their letters, what is missing last.
  const number = (text) => Number.parseFloat(text.replaceAll(",", ""));
  const isMissing = (text) => text === "" || text === "–";

  function compare(a, b, numeric) {
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    return numeric ? number(a) - number(b) : a.localeCompare(b);
  }

  function sort(table, place, head) {
    const down = head.getAttribute("aria-sort") === "ascending";
    const numeric = head.classList.contains("number");
    const text = (row) => row.cells[place].textContent.trim();
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const order = compare(text(a), text(b), numeric);
      return down && !isMissing(text(a)) && !isMissing(text(b)) ? -order : order;
    });
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...rows);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const by = document.createElement("button");
      by.type = "button";
      by.textContent = head.textContent;
      by.addEventListener("click", () => sort(table, place, head));
      head.replaceChildren(by);
    });
  }
  document.documentElement.dataset.ready = "";
})();
