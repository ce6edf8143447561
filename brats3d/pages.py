"""Builds an HTML page from parts: one file, readable on a desktop and on a phone, without network access or scripts.

Functions return HTML. An argument called a *text* is escaped here, once, whatever it contains; *parts* are HTML made by these
functions. The page's own policy forbids it to load anything from anywhere.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence

__all__ = [
    "Cell",
    "card",
    "contents",
    "details",
    "escaped",
    "facts",
    "grid",
    "items",
    "note",
    "number",
    "page",
    "paragraph",
    "picture",
    "section",
    "table",
]
__dir__ = __all__.copy

Cell = str | float | int | None
"""A table cell: text, a number (3 decimals; whole numbers as they are), or None if undefined."""

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.25rem 3rem; background: #fff; color: #1d2228;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid #d5dae0; }
h3 { font-size: 1.05rem; margin: 0 0 .5rem; }
a { color: #0b5394; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; padding: 0; margin: 1rem 0 0; }
.scroll { overflow-x: auto; max-width: 100%; margin: 12px 0; }
.scroll:focus-visible { outline: 2px solid #0b5394; }
table { border-collapse: separate; border-spacing: 0; font-size: 14px; line-height: 20px; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
caption { text-align: left; color: #4b5560; padding: 0 0 6px; }
caption span { display: block; position: sticky; left: 0; max-width: min(68rem, 100vw - 3.5rem); width: max-content; }
th, td { padding: 5px 11px; border-bottom: 1px solid #e3e7eb; text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid #9aa4ae; vertical-align: bottom; }
tbody th { font-weight: 600; }
tr > .short:first-child { position: sticky; left: 0; background: #fff; }
.number { text-align: right; white-space: nowrap; }
.short, .line { white-space: nowrap; }
.wide { min-width: 16rem; }
.none { color: #5f6b76; }
.grid { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr));
  align-items: start; }
.card { border: 1px solid #d5dae0; border-radius: .4rem; padding: .8rem .9rem; min-width: 0; }
.card + .card { margin-top: 1rem; }
figure { margin: 0 0 .75rem; }
img { display: block; max-width: 100%; height: auto; }
.card img { background: #303030; }
.card ul { margin: .5rem 0 0; padding-left: 1.1rem; font-size: .9rem; }
figcaption, .note { color: #4b5560; font-size: .9rem; }
dl { display: grid; grid-template-columns: minmax(8rem, 13rem) 1fr; gap: .3rem 1rem; margin: .75rem 0; }
dt { font-weight: 600; }
dd { margin: 0; min-width: 0; }
summary { cursor: pointer; color: #0b5394; margin: .5rem 0; }
@media (max-width: 36rem) {
  body { padding: .75rem .8rem 2rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin: 0 0 .6rem; }
  th, td { padding: 5px 7px; }
}
@media print { nav { display: none; } .card, figure { break-inside: avoid; } .scroll { overflow: visible; } }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Not allowed in a page: control characters, and lone surrogates, which represent undecodable bytes of file names."""


def escaped(text: str) -> str:
    """Return a text as HTML that displays it.

    Args:
        text: anything; characters not allowed in a page become the replacement character.
    """
    return html.escape(UNFIT.sub("\ufffd", text))


def page(title: str, parts: Sequence[str]) -> str:
    """Return a complete page.

    Args:
        title: a text, for the window and the heading.
        parts: HTML of what follows the heading.
    """
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escaped(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f"<header><h1>{escaped(title)}</h1></header>",
            "<main>",
            *parts,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def contents(headings: Mapping[str, str]) -> str:
    """Return links to sections of the page.

    Args:
        headings: section identifier → its heading, a text.
    """
    links = "".join(f'<li><a href="#{escaped(name)}">{escaped(heading)}</a></li>' for name, heading in headings.items())
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def section(identifier: str, heading: str, parts: Sequence[str]) -> str:
    """Return a section.

    Args:
        identifier: target of links to it, unique on the page.
        heading: a text.
        parts: HTML of its content.
    """
    name = escaped(identifier)
    return "\n".join(
        [
            f'<section id="{name}" aria-labelledby="{name}-heading">',
            f'<h2 id="{name}-heading">{escaped(heading)}</h2>',
            *parts,
            "</section>",
        ]
    )


def paragraph(text: str) -> str:
    """Return a paragraph of a text."""
    return f"<p>{escaped(text)}</p>"


def note(text: str) -> str:
    """Return a text as a less prominent, explanatory paragraph."""
    return f'<p class="note">{escaped(text)}</p>'


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, headers: int = 1) -> str:
    """Return a table in a box that scrolls if the table is wider than the page.

    Args:
        caption: a text.
        columns: one text per column.
        rows: the cells of each row; texts are escaped, numbers are right-aligned, None is a dash.
        headers: how many of the first cells name their row.
    """
    numbers = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]
    lengths = [max((len(number(row[i])) for row in rows), default=0) for i in range(len(columns))]
    names = ["number" if of_numbers else _text_class(length) for of_numbers, length in zip(numbers, lengths, strict=True)]
    head = "".join(f'<th scope="col"{_class(name)}>{escaped(column)}</th>' for column, name in zip(columns, names, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(_cell(cell, name, header=i < headers) for i, (cell, name) in enumerate(zip(row, names, strict=True)))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{escaped(caption)}" tabindex="0">\n<table>\n'
        f"<caption><span>{escaped(caption)}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _text_class(longest: int) -> str:
    """Return the class of a text column: short texts stay on one line (and in view while scrolling), long ones are wide."""
    return next(name for limit, name in ((24, "short"), (40, "line"), (60, ""), (longest, "wide")) if longest <= limit)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _cell(cell: Cell, name: str, *, header: bool) -> str:
    if header:
        return f'<th scope="row"{_class(name)}>{escaped(number(cell))}</th>'
    if cell is None:
        return f'<td class="{f"{name} none".strip()}">–</td>'
    return f"<td{_class(name)}>{escaped(number(cell))}</td>"


def number(value: Cell) -> str:
    """Return a cell's text: whole numbers as they are, others with 3 decimals (2 from 100 on), None as a dash.

    Args:
        value: a text, a number or None.
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        text = f"{value:.3f}" if abs(value) < 100 else f"{value:.2f}"
        return text.lstrip("-") if value and not float(text) else text
    return str(value)


def picture(png: bytes, alternative: str, caption: str = "", *, width: int | None = None) -> str:
    """Return a picture embedded in the page, with its caption.

    Args:
        png: content of a PNG file.
        alternative: a text for those who cannot see it.
        caption: a text below the picture; none if empty.
        width: in CSS pixels, at most that of the page; by default the picture's own.
    """
    source = base64.b64encode(png).decode("ascii")
    size = "" if width is None else f' width="{int(width)}"'
    below = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="data:image/png;base64,{source}" alt="{escaped(alternative)}"{size}>{below}</figure>'


def details(heading: str, parts: Sequence[str]) -> str:
    """Return parts that are collapsed until the reader opens them.

    Args:
        heading: a text, always visible.
        parts: HTML of the collapsed content.
    """
    return "\n".join(["<details>", f"<summary>{escaped(heading)}</summary>", *parts, "</details>"])


def grid(parts: Sequence[str]) -> str:
    """Return parts side by side, as many as fit on the page.

    Args:
        parts: HTML of each.
    """
    return "\n".join(['<div class="grid">', *(f"<div>{part}</div>" for part in parts), "</div>"])


def card(heading: str, parts: Sequence[str]) -> str:
    """Return a box with a heading.

    Args:
        heading: a text.
        parts: HTML of its content.
    """
    return "\n".join(['<article class="card">', f"<h3>{escaped(heading)}</h3>", *parts, "</article>"])


def items(texts: Sequence[str]) -> str:
    """Return a list; empty if there are no texts.

    Args:
        texts: one per item.
    """
    return "<ul>" + "".join(f"<li>{escaped(text)}</li>" for text in texts) + "</ul>" if texts else ""


def facts(rows: Mapping[str, str]) -> str:
    """Return a list of names and values.

    Args:
        rows: text → text.
    """
    return "<dl>" + "\n".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in rows.items()) + "</dl>"
