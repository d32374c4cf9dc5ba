"""The lineage of a ref as a tree and as a page: everything in it once, escaped, without network, fast when large."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from r1data.inspect.graph import Graph, Point, read_graph
from r1data.inspect.picture import page, tree
from r1data.manifest import Parent
from r1data.refs import resolve
from r1data.storage import Lake
from tests.r1data.cli.test_cli import Typed, r1
from tests.r1data.inspect.tiny_lake import make_lake

__all__ = ["r1"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("picture") / "lake")


@pytest.fixture(scope="module")
def graph(lake: Lake) -> Graph:
    return read_graph(lake)


def large(layers: int, width: int, name: str = "node") -> Graph:
    """Layers of points, each made from three of the layer before."""
    points = {}
    for i in range(layers):
        for j in range(width):
            above = [f"d/{i - 1}/{(j * 7 + k) % width}" for k in range(3)] if i else []
            parents = tuple(Parent(role="in", name="n", path=p, digest=p) for p in above)
            path = f"d/{i}/{j}"
            points[path] = Point(path, f"x/{name}-{i}-{j}", "dataset", path, "verdicts", "s", "1 rows", i, parents)
    return Graph(points, {f"d/{layers - 1}/0": ("x/last",)})


def data_of(html: str) -> dict[str, Any]:
    match = re.search(r'id="data">(.*?)</script>', html, re.DOTALL)
    assert match
    found: dict[str, Any] = json.loads(match[1])
    return found


def test_the_tree_goes_back_to_what_has_no_inputs(lake: Lake, graph: Graph) -> None:
    lines = list(tree(graph, resolve(lake, "tiny/dev1").path))
    assert lines[0].startswith("tiny/dev1  checkpoint, 5 steps  by train")
    text = "\n".join(lines)
    assert "├─ init: tiny/base" in text
    assert "└─ examples: tiny/cold_start  sft_examples, 1 rows" in text
    assert re.search(r"candidates: tiny/cold_start/candidates.*\(see above\)", text)
    assert "tiny/eval" not in text
    assert len(lines) == 12


def test_the_tree_of_a_large_graph_has_every_input_once_in_full() -> None:
    graph = large(60, 40)
    lines = list(tree(graph, "d/59/0"))
    full = [line for line in lines if "see above" not in line]
    inner = {p for p in graph.upstream(["d/59/0"]) if graph.points[p].parents}
    assert len([x for x in full if " x/node-0-" not in x]) == len(inner) + 1


def test_the_page_has_every_point_and_input_up_and_down(lake: Lake, graph: Graph) -> None:
    told = data_of(page(graph, resolve(lake, "tiny/cold_start").path))
    rows = [dict(zip(told["fields"], row, strict=True)) for row in told["points"]]
    names = [row["name"] for row in rows]
    assert len(names) == len(set(names))
    assert {"tiny/problems", "tiny/zero", "tiny/dev1", "tiny/eval/dev1"} <= set(names)
    assert "tiny/eval/zero" not in names
    assert names[told["chosen"]] == "tiny/cold_start"
    inputs = {(names[a], told["roles"][r], names[b]) for a, b, r in told["edges"]}
    assert {a for a, _, b in inputs if b == "tiny/dev1"} == {"tiny/base", "tiny/cold_start"}
    assert ("tiny/cold_start", "examples", "tiny/dev1") in inputs
    assert all(rows[a]["depth"] < rows[b]["depth"] for a, b, _ in told["edges"])


def test_the_page_needs_no_network_and_is_dark_and_light(lake: Lake, graph: Graph) -> None:
    html = page(graph, resolve(lake, "tiny/dev1").path)
    assert not re.search(r"(src|href)=|@import|url\(|https?://|fetch\(", html)
    assert "prefers-color-scheme:dark" in html


def test_names_are_escaped() -> None:
    html = page(large(2, 3, name="</script><b>&"), "d/1/0")
    assert "</script><b>" not in html
    assert data_of(html)["points"]


def test_thousands_of_points_are_one_page_of_a_few_megabytes() -> None:
    html = page(large(12, 300), "d/11/0")
    assert len(data_of(html)["points"]) > 1_000
    assert len(html) < 2_000_000


def test_the_command_prints_a_tree_and_writes_a_page(lake: Lake, r1: Typed, tmp_path: Path) -> None:
    file = tmp_path / "graph.html"
    code, out, _ = r1("lineage", "show", "tiny/dev1", "--html", str(file), "--lake", lake.url)
    assert code == 0
    assert out.startswith("tiny/dev1  checkpoint")
    assert out.splitlines()[-1] == f"page: {file}"
    assert "<svg" in file.read_text()


def test_a_page_that_cannot_be_written_is_one_clear_error(lake: Lake, r1: Typed, tmp_path: Path) -> None:
    file = tmp_path / "none" / "graph.html"
    code, _, err = r1("lineage", "show", "tiny/dev1", "--html", str(file), "--lake", lake.url)
    assert (code, "remedy" in err) == (1, True)


def test_an_unknown_ref_is_refused(lake: Lake, r1: Typed) -> None:
    code, _, err = r1("lineage", "show", "tiny/none", "--lake", lake.url)
    assert (code, "no ref 'tiny/none'" in err) == (1, True)
