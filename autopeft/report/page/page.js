// Draws the figures of the page and answers to its switches. Every string it is given is shown by
// plotly, which the page made inert, or as text; nothing is ever parsed as HTML here.
(() => {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const drawn = new Map();
  let printing = false;

  // What a name of the style sheet is in this theme: computed, as light-dark() has to be.
  function palette() {
    const probe = document.body.appendChild(document.createElement("i"));
    const known = new Map();
    for (const name of NAMES) {
      probe.style.color = `var(--${name})`;
      known.set(name, getComputedStyle(probe).color);
    }
    probe.remove();
    return (name) => known.get(name);
  }

  // A colour is a name with an @ before it, wherever it stands under one of these keys.
  const NAMES = [
    "paper", "raised", "ink", "quiet", "rule", "accent", "muted", "faint",
    "second", "third", "fourth", "fifth", "heat0", "heat1", "heat2",
  ];
  const COLOURED = new Set(["color", "colorscale"]);

  function coloured(value, colour, here = false) {
    if (Array.isArray(value)) return value.map((one) => coloured(one, colour, here));
    if (value !== null && typeof value === "object") {
      const entries = Object.entries(value);
      return Object.fromEntries(entries.map(([key, one]) => [key, coloured(one, colour, COLOURED.has(key))]));
    }
    return here && typeof value === "string" && value.startsWith("@") ? colour(value.slice(1)) : value;
  }

  function axis(given, colour) {
    return {
      gridcolor: colour("rule"), zerolinecolor: colour("rule"), linecolor: colour("faint"),
      ticks: "outside", ticklen: 5, tickcolor: "rgba(0,0,0,0)", automargin: true, zeroline: false,
      ...given,
      title: { standoff: 14, font: { size: 13, color: colour("quiet") }, ...given?.title },
    };
  }

  // Where there is little room, only powers of ten keep their mark on a logarithmic axis.
  function thinned(given) {
    const places = given.tickvals?.map((_, at) => at) ?? [];
    const decade = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-6;
    const kept = places.filter((at) => given.ticktext[at] === "0" || decade(given.tickvals[at]));
    if (places.length < 7 || kept.length < 3) return given;
    return { ...given, tickvals: kept.map((at) => given.tickvals[at]), ticktext: kept.map((at) => given.ticktext[at]) };
  }

  function layout(figure, width, colour) {
    const given = coloured(figure.layout, colour);
    const narrow = width < 560;
    return {
      autosize: false, width, height: printing ? Math.max(220, 0.7 * figure.height) : figure.height,
      margin: { l: 8, r: 12, t: 16, b: 8, pad: 2 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 12 : 13, color: colour("ink") },
      hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("rule"), align: "left", font: { color: colour("ink"), size: 13 } },
      dragmode: false,
      ...given,
      xaxis: axis({ fixedrange: true, ...(narrow ? thinned(given.xaxis) : given.xaxis) }, colour),
      yaxis: axis({ fixedrange: true, ...given.yaxis }, colour),
      legend: { font: { size: 12 }, itemclick: "toggle", ...given.legend },
    };
  }

  function draw(element) {
    const figure = figures[element.dataset.figure];
    const width = Math.floor(printing ? Math.min(element.clientWidth || 680, 680) : element.clientWidth);
    if (!width) return;
    const colour = palette();
    const data = figure.data.map((trace) => coloured(trace, colour));
    Plotly.react(element, data, layout(figure, width, colour), { displayModeBar: false, responsive: false, staticPlot: false });
    drawn.set(element, width);
  }

  function redrawAll() {
    for (const element of drawn.keys()) draw(element);
  }

  // Figures are drawn when they come near the window, so that a long page is there at once.
  const plots = [...document.querySelectorAll(".plot")];
  for (const element of plots) element.style.minHeight = `${figures[element.dataset.figure].height}px`;
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting && !drawn.has(target)) draw(target);
    }
  }, { rootMargin: "600px 0px" });
  for (const element of plots) near.observe(element);

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (drawn.has(target) && target.clientWidth && Math.abs(drawn.get(target) - target.clientWidth) > 1) draw(target);
    }
  });
  for (const element of plots) resized.observe(element);

  for (const input of document.querySelectorAll("input[data-figure]")) {
    input.addEventListener("change", () => {
      const figure = figures[input.dataset.figure];
      const change = figure.switch[input.value];
      change.data.forEach((part, place) => Object.assign(figure.data[place], part));
      figure.layout.xaxis = change.xaxis;
      draw(document.getElementById(`plot-${input.dataset.figure}`));
    });
  }

  // The switch of the theme has done its work when these are told.
  document.getElementById("theme").addEventListener("click", redrawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);

  for (const copy of document.querySelectorAll("[data-copy]")) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const code = document.getElementById(copy.dataset.copy);
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        getSelection().selectAllChildren(code);
        document.execCommand("copy");
      }
      const said = copy.firstChild.data;
      copy.firstChild.data = "Copied";
      setTimeout(() => { copy.firstChild.data = said; }, 1500);
    });
  }

  for (const input of document.querySelectorAll("[data-filter]")) {
    const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const place = input.closest(".filter");
    const status = place.querySelector("[role=status]");
    place.hidden = false;
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, at) => {
        row.hidden = !words.every((word) => texts[at].includes(word));
        shown += row.hidden ? 0 : 1;
      });
      status.textContent = `${shown} of ${rows.length}`;
    });
  }

  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const passing = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      for (const [name, link] of links) {
        link.classList.toggle("here", name === target.id);
        if (name === target.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-10% 0px -75% 0px" });
  for (const name of links.keys()) passing.observe(document.getElementById(name));

  // A link to a run that is folded away opens it.
  function open() {
    const target = document.getElementById(location.hash.slice(1));
    const folded = target?.closest("details");
    if (folded) folded.open = true;
  }
  addEventListener("hashchange", open);
  open();

  // Paper is white and as wide as it is, whatever the window.
  addEventListener("beforeprint", () => {
    printing = true;
    root.dataset.printed = root.dataset.theme ?? "";
    root.dataset.theme = "light";
    for (const element of plots) draw(element);
  });
  addEventListener("afterprint", () => {
    printing = false;
    if (root.dataset.printed) root.dataset.theme = root.dataset.printed;
    else delete root.dataset.theme;
    delete root.dataset.printed;
    redrawAll();
  });

  root.dataset.ready = "";
})();
