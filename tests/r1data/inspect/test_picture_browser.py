"""The lineage page as people use it: stages open on a click, the search finds what is folded, nothing leaves."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from r1data.inspect.graph import Graph, Point, read_graph
from r1data.inspect.picture import page
from r1data.manifest import Parent
from r1data.refs import resolve
from tests.browser import FAINT, MARKS, SIZES, Scheme, Seen, chromium, seen
from tests.r1data.inspect.tiny_lake import make_lake

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [*MARKS, pytest.mark.timeout(600)]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
NIGHTS = 84
# What each of the recipe's names is made from; every night makes all of them again.
STAGES = ("base", "zero", "cold_start", "dev1", "dev2", "sft_mix", "dev3", "preferences", "r1", "distill")
TABLES = ("candidates", "verdicts", "measures", "drops", "audit", "")
OVERLAPS = """(() => { const columns = {};
  for (const b of boxes.values()) (columns[b.x] ??= []).push(b.y);
  const tight = ys => ys.sort((a, b) => a - b).some((y, i) => i && y - ys[i - 1] < H);
  return Object.values(columns).filter(tight).length })()"""


def nights(number: int = NIGHTS) -> Graph:
    """A lake that ran so many nights: 70 contents each, made from those of the same night."""
    points: dict[str, Point] = {}

    def add(name: str, night: int, *above: str) -> None:
        path, digest = f"data/{name}/{night}", f"{night:04}-{name}"
        parents = tuple(Parent(role="in", name=n, path=f"data/{n}/{night}", digest=f"{night:04}-{n}") for n in above)
        kind: Any = "checkpoint" if name.count("/") == 1 and "mix" not in name else "dataset"
        points[path] = Point(path, name, kind, digest, "verdicts", "step", "12 rows", night, parents)

    for night in range(number):
        add("demo/problems", night)
        last = "demo/problems"
        for stage in STAGES:
            for table in TABLES:
                name = f"demo/{stage}/{table}".rstrip("/")
                add(name, night, last)
                last = name
        for checkpoint in STAGES[:9]:
            add(f"demo/eval/{checkpoint}", night, f"demo/{checkpoint}")
    return Graph(points, {f"data/demo/r1/{number - 1}": ("demo/r1",)})


def one_lake(number: int = NIGHTS) -> Graph:
    """The same, and a report of it all, so that everything belongs to one picture."""
    found = nights(number)
    ends = [p for p in found.points.values() if p.name == "demo/distill"]
    parents = tuple(Parent(role="night", name=p.name, path=p.path, digest=p.digest) for p in ends)
    whole = Point("data/demo/card/0", "demo/card", "dataset", "card", "card", "step", "1 rows", number, parents)
    return Graph({**found.points, whole.path: whole}, found.refs)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    lake = make_lake(folder / "lake")
    file = folder / "page.html"
    file.write_text(page(read_graph(lake), resolve(lake, "tiny/dev1").path), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = one_lake()
    assert len(graph.points) > 5_000
    file = tmp_path_factory.mktemp("large") / "page.html"
    file.write_text(page(graph, "data/demo/card/0"), encoding="utf-8")
    return file


def boxes(found: Seen) -> int:
    """How many are drawn."""
    return found.page.locator(".n").count()


def click(found: Seen, title: str) -> None:
    """Bring all of the graph into the frame, and click on a box."""
    found.page.locator("#fit").click()
    box(found, title).click()


def box(found: Seen, title: str) -> Any:
    """The box of a name."""
    return found.page.locator(".n", has=found.page.locator(f"title:text-is('{title}')")).first


@pytest.mark.parametrize(("size", "scheme"), list(product(SIZES, SCHEMES)))
def test_all_of_it_can_be_read(browser: "Browser", small: Path, size: str, scheme: Scheme, tmp_path: Path) -> None:
    with seen(browser, small, size, scheme) as found:
        found.page.screenshot(path=tmp_path / "small.png")
        assert (found.asked, found.complaints, found.overflow) == ([], [], 0)
        box(found, "tiny/dev1").press("Enter")
        assert found.page.locator("#told dt").count() > 6
        found.page.keyboard.press("Escape")
        assert found.js(FAINT, 4.5) == []


def test_few_are_all_shown_and_a_click_lights_what_is_up_and_downstream(browser: "Browser", small: Path) -> None:
    with seen(browser, small) as found:
        number = found.js("P.length")
        assert (boxes(found), found.js(OVERLAPS)) == (number, 0)
        found.page.locator("#find").fill("cold_start/drops")
        assert found.page.locator(".n.hit").count() >= 2, "itself, and what names it as an input"
        found.page.locator("#find").press("Enter")
        lit, told = found.page.locator(".n.on").count(), found.page.locator("#told").inner_text()
        assert 3 < lit <= number
        assert "tiny/cold_start/drops" in told
        assert "candidates: tiny/cold_start/candidates" in told
        before = found.page.locator("#graph").get_attribute("viewBox")
        found.page.locator("#out").click()
        assert found.page.locator("#graph").get_attribute("viewBox") != before


def test_inputs_are_to_the_left(browser: "Browser", small: Path) -> None:
    with seen(browser, small) as found:
        assert found.js("lines.length") > 10
        assert found.js("lines.filter(l => l.a.x >= l.b.x).length") == 0


def test_thousands_are_stages_first(browser: "Browser", large: Path) -> None:
    """Time is that of a machine with other work: a page that takes a minute cannot be used."""
    with seen(browser, large, "desk") as found:
        found.page.locator(".n").first.wait_for(timeout=60_000)
        assert found.js("P.length") > 5_000
        assert 10 <= boxes(found) <= 40
        assert found.page.locator(".n.group").count() >= 10
        assert found.js("performance.getEntriesByType('navigation')[0].domComplete") < 60_000
        assert (found.asked, found.complaints, found.js(OVERLAPS)) == ([], [], 0)


def test_a_click_opens_a_stage_then_a_name_and_closes_it_again(browser: "Browser", large: Path) -> None:
    with seen(browser, large) as found:
        folded = boxes(found)
        click(found, "demo/cold_start")
        assert boxes(found) == folded - 1 + len(TABLES)
        click(found, "demo/cold_start/drops")
        assert boxes(found) == folded - 2 + len(TABLES) + NIGHTS
        assert found.js(OVERLAPS) == 0
        found.page.locator("#open button", has_text="demo/cold_start ×").click()
        assert boxes(found) == folded
        found.page.locator("#fold").click()
        assert boxes(found) == folded


def test_search_finds_and_opens_what_is_folded(browser: "Browser", large: Path) -> None:
    with seen(browser, large, "phone") as found:
        found.page.locator("#find").fill("0041-demo/dev2/verdicts")
        assert "hit" in found.page.locator("#hits").inner_text()
        assert found.page.locator(".n.hit").count() >= 1, "the box that holds it"
        found.page.locator("#list button").first.click()
        told = found.page.locator("#told").inner_text()
        assert "data/demo/dev2/verdicts/41" in told
        assert found.overflow == 0
        centred = found.js("boxes.get(picked)")
        view = found.js("view")
        assert view["x"] < centred["x"] < view["x"] + view["w"]
        assert view["y"] < centred["y"] < view["y"] + view["h"]


def test_all_five_thousand_can_be_opened(browser: "Browser", large: Path) -> None:
    with seen(browser, large) as found:
        found.page.locator("#all").click()
        assert boxes(found) == found.js("P.length")
        assert found.js(OVERLAPS) == 0
        found.page.locator("#fold").click()
        assert boxes(found) < 40
