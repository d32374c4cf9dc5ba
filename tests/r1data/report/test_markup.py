"""What models wrote stays text in Markdown, and a picture carries its own data and colours."""

import re
from base64 import b64decode
from xml.etree import ElementTree

import polars as pl
import pytest

from r1data.report.curves import curves
from r1data.report.markup import HEIGHT, WIDTH, fenced, literal, picture


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("<think>1</think>", "` <think>1</think> `"),
        ("![x](http://a/b)\n\n# head", "` ![x](http://a/b) # head `"),
        ("a ` b ``` c", "```` a ` b ``` c ````"),
        (" \n ", ""),
    ],
    ids=["tags", "lines", "ticks", "nothing"],
)
def test_a_span_has_more_ticks_than_its_text(text: str, span: str) -> None:
    assert literal(text) == span


def test_no_line_ends_a_block() -> None:
    lines = fenced(["~~~~", "a\n~~~~~~\nb"]).splitlines()
    fence = lines[-1]
    assert lines[0] == f"{fence}text"
    assert [line for line in lines[1:-1] if fence in line] == []
    assert len(lines) == 4


def test_a_picture_needs_no_style_of_the_page() -> None:
    points = [("zero", m, s, s / 2.0) for m in ("reward", "loss", "kl", "accuracy") for s in (1, 2, 3)]
    frame = pl.DataFrame(points, schema=["stage", "metric", "step", "value"], orient="row")
    text = picture("four curves", [plot.svg for plot in curves(frame)])
    found = re.fullmatch(r"!\[four curves\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", text)
    assert found
    svg = b64decode(found[1]).decode()
    assert "var(" not in svg
    root = ElementTree.fromstring(svg)
    assert (root.get("width"), root.get("height")) == (str(3 * WIDTH), str(2 * HEIGHT))
    assert [int(child.get("x", "0")) for child in root if child.tag.endswith("svg")] == [0, WIDTH, 2 * WIDTH, 0]
