"""The parts of a page: sound HTML whatever the texts hold."""

from __future__ import annotations

import base64

import pytest
from parsed_page import named, parse

from brats3d import pages

HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "it's </title></table></p><b>bold</b>",
    "a & b &lt; c &#60;",
    "</style><img src=http://example.org/x.png>",
]


def whole(*parts: str) -> str:
    return pages.page("title", list(parts))


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_shown_as_they_are(text: str) -> None:
    parts = [
        pages.paragraph(text),
        pages.note(text),
        pages.contents({"one": text}),
        pages.section("one", text, []),
        pages.table(text, [text, "n"], [[text, 3], [text, text]], headers=2),
        pages.picture(b"png", text + " long enough", text),
        pages.card(text, [pages.facts({text: text})]),
        pages.details(text, [pages.paragraph(text)]),
        pages.items([text, text]),
    ]
    found = parse(pages.page(text, parts))
    for name, count in {"title": 1, "h1": 1, "p": 3, "a": 1, "li": 3, "h2": 1, "caption": 1, "figcaption": 1, "h3": 1, "dt": 1,
                        "dd": 1, "summary": 1}.items():  # fmt: skip
        assert [e.text for e in named(found, name)] == [text] * count, name
    assert named(found, "img")[0].attributes["alt"] == text + " long enough"
    assert [e.text for e in named(found, "th")] == [text, "n", text, "3", text, text]
    assert {e.name for e in found} & {"b", "script"} == set()


def test_characters_that_no_page_may_hold_are_replaced() -> None:
    text = "a\x00b\x1fc\ud800d\ufffee\tf\nü–😀"
    (found,) = named(parse(whole(pages.paragraph(text))), "p")
    assert found.text == "a\ufffdb\ufffdc\ufffdd\ufffde\tf\nü–😀"
    whole(pages.paragraph("caf\udce9.nii.gz")).encode("utf-8")  # a file name that is no UTF-8


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (3, "3"), (1251, "1251"), (0.5, "0.500"), (-0.00049, "0.000"), (-0.0005001, "-0.001"), (373.1287, "373.13"),
     (-100.0, "-100.00"), ("", ""), ("x", "x"), (float("nan"), "nan")],
)  # fmt: skip
def test_numbers_have_three_decimals(value: pages.Cell, expected: str) -> None:
    assert pages.number(value) == expected


def test_numbers_stand_at_the_right_and_what_is_undefined_is_a_dash() -> None:
    found = parse(
        whole(pages.table("caption", ["case", "dice", "why"], [["a", 0.5, "x"], ["b", None, None], ["c", 1, "y" * 61]]))
    )
    cells = [(e.name, e.text, e.attributes.get("class")) for e in found if e.name in ("th", "td")]
    assert cells == [
        ("th", "case", "short"), ("th", "dice", "number"), ("th", "why", "wide"),
        ("th", "a", "short"), ("td", "0.500", "number"), ("td", "x", "wide"),
        ("th", "b", "short"), ("td", "–", "number none"), ("td", "–", "wide none"),
        ("th", "c", "short"), ("td", "1", "number"), ("td", "y" * 61, "wide"),
    ]  # fmt: skip


def test_pictures_are_part_of_the_page() -> None:
    found = parse(whole(pages.grid([pages.picture(b"\x89PNG", "a picture of a case", width=340)])))
    (picture,) = named(found, "img")
    assert base64.b64decode(picture.attributes["src"].partition(",")[2]) == b"\x89PNG"
    assert picture.attributes["width"] == "340"
    assert not named(found, "figcaption")


def test_the_page_forbids_itself_to_load_anything() -> None:
    (policy,) = [e for e in named(parse(whole()), "meta") if "http-equiv" in e.attributes]
    assert policy.attributes["content"].startswith("default-src 'none'; img-src data:;")


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<p>", "html"),
        ("<div><p></div>", "closes <p>"),
        ('<img src="data:image/png;base64,">', "alt"),
        ('<a href="https://example.org">x</a>', "https"),
        ('<a href="#nowhere">x</a>', "nowhere"),
        ("<script></script>", "script"),
        ("<p><table></table></p>", "in <p>"),
        ('<p onclick="x">', "onclick"),
    ],
)
def test_the_test_sees_what_is_wrong(page: str, message: str) -> None:
    with pytest.raises(AssertionError):
        parse(page if message == "html" else whole(page))
