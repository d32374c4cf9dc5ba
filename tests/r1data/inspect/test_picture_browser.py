"""The lineage page in a real browser, without a network: search, click and zoom work, and nothing complains."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from r1data.inspect.graph import Graph, read_graph
from r1data.inspect.picture import page
from r1data.refs import resolve
from tests.r1data.inspect.test_picture import large
from tests.r1data.inspect.tiny_lake import make_lake

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]
USE = """<script>
const box = svg.getAttribute("viewBox"), count = c => document.querySelectorAll(c).length;
const press = () => document.getElementById("bar").dispatchEvent(new Event("submit", {cancelable: true}));
find.value = "WORD"; find.dispatchEvent(new Event("input")); const hit = count(".n.hit"); press();
const on = count(".n.on"), lit = count(".e.on"), facts = count("#told dt");
frame.dispatchEvent(new WheelEvent("wheel", {deltaY: 300, clientX: 300, clientY: 300, cancelable: true}));
nodes[0].dispatchEvent(new MouseEvent("click", {bubbles: true}));
document.body.dataset.told = [hit, on, lit, facts, count(".n.on"), box !== svg.getAttribute("viewBox")].join(" ");
</script>"""


def used(folder: Path, graph: Graph, path: str, word: str) -> list[str]:
    """Hits of a search, boxes and lines lit and facts told by its first, boxes lit by a click, whether it zoomed."""
    (folder / "page.html").write_text(page(graph, path) + USE.replace("WORD", word), encoding="utf-8")
    assert CHROMIUM, "skipped without one"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=10000"]
    command = [CHROMIUM, *flags, "--dump-dom", f"file://{folder}/page.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    told = re.search(r'data-told="([^"]+)"', done.stdout)
    assert told, done.stdout[-2000:]
    return told[1].split()


def test_search_click_and_zoom(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    graph = read_graph(lake)
    path = resolve(lake, "tiny/dev1").path
    hit, on, lit, facts, clicked, zoomed = used(tmp_path, graph, path, "cold_start/drops")
    assert int(hit) >= 2  # itself, and what names it as an input
    assert (int(on) > 3, int(lit) > 3, int(facts) > 6, int(clicked) > 3) == (True, True, True, True)
    assert zoomed == "true"


def test_thousands_of_points_can_be_searched(tmp_path: Path) -> None:
    hit, *_, zoomed = used(tmp_path, large(20, 150), "d/19/0", "node-3-")
    assert (int(hit), zoomed) == (150, "true")
