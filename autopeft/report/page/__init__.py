"""The page of a run: one self-contained HTML file, made from plain values.

view.py      what is shown, as plain values
front.py …   one figure per file: a picture, a sentence and a table of its numbers
document.py  the page, its policy and its scripts; shell.py what it shares with other pages
templates/   the page's words and order; page.css, page.js and theme.js beside this file
"""

from autopeft.report.page.document import render
from autopeft.report.page.view import Importance, Mistake, MistakesView, RunView, SplitView

__all__ = ["Importance", "Mistake", "MistakesView", "RunView", "SplitView", "render"]
