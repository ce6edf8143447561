"""Write the first sheet of an Excel file as CSV beside it, so that `preprocess` reads it: ``xlsx_to_csv.py TABLE.xlsx``."""

from __future__ import annotations

import csv
import re
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

_NS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def rows_of(path: Path) -> list[list[str]]:
    """Return the cells of the first sheet as text, row by row; an empty cell is an empty text."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        shared = ElementTree.fromstring(archive.read("xl/sharedStrings.xml")) if "xl/sharedStrings.xml" in names else []
        texts = ["".join(part.text or "" for part in item.iter(f"{_NS}t")) for item in shared]
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    rows = []
    for row in sheet.iter(f"{_NS}row"):
        cells: dict[int, str] = {}
        for position, cell in enumerate(row.iter(f"{_NS}c")):
            cells[_column(cell.get("r", ""), position)] = _text(cell, texts)
        rows.append([cells.get(i, "") for i in range(max(cells, default=-1) + 1)])
    return [row for row in rows if any(row)]


def _column(reference: str, position: int) -> int:
    letters = re.sub(r"[^A-Z]", "", reference)
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1 if letters else position


def _text(cell: ElementTree.Element, texts: list[str]) -> str:
    value = cell.findtext(f"{_NS}v") or ""
    if cell.get("t") == "s":
        return texts[int(value)].strip()
    if cell.get("t") == "inlineStr":
        return "".join(part.text or "" for part in cell.iter(f"{_NS}t")).strip()
    return re.sub(r"\.0$", "", value)


def main(arguments: list[str]) -> int:
    """Convert each file named; an existing CSV file is left alone."""
    for name in arguments:
        path = Path(name)
        target = path.with_suffix(".csv")
        if target.exists():
            sys.stderr.write(f"{target} is there already; move it away first.\n")
            return 2
        rows = rows_of(path)
        with target.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        sys.stdout.write(f"{target}: {len(rows) - 1} rows\n")
    return 0 if arguments else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
