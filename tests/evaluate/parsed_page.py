"""Reading a page of HTML strictly, for the tests of the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "link", "input"}
"""Elements without an end."""
PHRASING_ONLY = {"p", "h1", "h2", "h3", "figcaption", "caption", "summary", "dt", "a", "title"}
"""Elements that hold no blocks."""
BLOCKS = {"p", "div", "table", "section", "figure", "ul", "dl", "h1", "h2", "h3", "article", "nav", "details"}


@dataclass
class Element:
    """One element: its name, attributes, all text inside, and what stands in it."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[Element] = []
        self.all: list[Element] = []
        self.declaration = ""

    def handle_decl(self, decl: str) -> None:
        self.declaration = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        if self.open:
            parent = self.open[-1].name
            assert parent not in PHRASING_ONLY or tag not in BLOCKS, f"<{tag}> in <{parent}>"
        element = Element(tag, {name: value or "" for name, value in attrs})
        if self.open:
            self.open[-1].children.append(element)
        self.all.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


def parse(page: str) -> list[Element]:
    """Return all elements of a whole page, refusing what is no sound HTML5 or what would load anything."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    assert not parser.open, [element.name for element in parser.open]
    assert parser.declaration == "DOCTYPE html"
    found = parser.all
    check_page(found)
    return found


def named(elements: list[Element], name: str) -> list[Element]:
    return [element for element in elements if element.name == name]


def check_page(elements: list[Element]) -> None:
    """Refuse a page that is not whole, not self-contained, or not readable without eyes."""
    assert [len(named(elements, name)) for name in ("html", "head", "body", "main", "title", "h1")] == [1] * 6
    assert named(elements, "html")[0].attributes["lang"] == "en"
    assert {"charset", "viewport"} <= {
        key for e in named(elements, "meta") for key in (*e.attributes, e.attributes.get("name", ""))
    }
    identifiers = [e.attributes["id"] for e in elements if "id" in e.attributes]
    assert len(set(identifiers)) == len(identifiers)
    for element in elements:
        assert element.name not in ("script", "iframe", "object", "embed", "link", "form"), element.name
        for key, value in element.attributes.items():
            assert not key.startswith("on"), (element.name, key)
            if key in ("src", "href"):
                assert value.startswith(("data:image/png;base64,", "#")), (element.name, value[:60])
            if value.startswith("#"):
                assert value[1:] in identifiers, value
            if key == "aria-labelledby":
                assert value in identifiers
    for style in named(elements, "style"):
        assert "url(" not in style.text
        assert "@import" not in style.text
    for picture in named(elements, "img"):
        assert len(picture.attributes.get("alt", "")) > 10
    for table in named(elements, "table"):
        assert table.children[0].name == "caption"
        rows = [row for part in table.children[1:] for row in part.children]
        assert len({len(row.children) for row in rows}) == 1, "rows of unequal length"
        assert all(cell.attributes.get("scope") == "col" for cell in rows[0].children)
        assert all(row.children[0].name == "th" and row.children[0].attributes["scope"] == "row" for row in rows[1:])
    scrolled = [child for e in elements if e.attributes.get("class") == "scroll" for child in e.children]
    assert [e.name for e in scrolled] == ["table"] * len(named(elements, "table"))  # each in a box of its own
