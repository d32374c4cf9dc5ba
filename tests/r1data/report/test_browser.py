"""The page of a run as it is seen: nothing leaves, nothing complains, all of it can be read at every size."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from r1data.report.page import page
from tests.browser import FAINT, MARKS, SIZES, Scheme, chromium, seen
from tests.r1data.inspect.tiny_lake import make_lake

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [*MARKS, pytest.mark.timeout(600)]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SEEN = [pytest.param(size, scheme, id=f"{size}-{scheme}") for size, scheme in product(SIZES, SCHEMES)]
EMPTY = """[...document.querySelectorAll('svg')].filter(s => s.checkVisibility())
  .map(s => s.getBoundingClientRect()).filter(r => r.width < 20 || r.height < 5).length"""
UNSEEN = """[...document.querySelectorAll('h1, h2, h3')].filter(h => !h.checkVisibility() || !h.textContent.trim()
  || h.getBoundingClientRect().width < 20).map(h => h.textContent)"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    found = folder / "page.html"
    found.write_text(page(make_lake(folder / "lake"), "tiny"), encoding="utf-8")
    return found


@pytest.mark.parametrize(("size", "scheme"), SEEN)
def test_all_of_it_can_be_read(browser: "Browser", file: Path, size: str, scheme: Scheme, tmp_path: Path) -> None:
    with seen(browser, file, size, scheme) as found:
        picture = found.page.screenshot(path=tmp_path / f"{size}-{scheme}.png", full_page=True)
        assert len(picture) > 20_000, "an empty page makes a smaller picture"
        assert (found.asked, found.complaints, found.overflow) == ([], [], 0)
        assert found.js("document.querySelectorAll('svg').length") > 10
        assert found.js(EMPTY) == 0
        assert found.js("document.querySelectorAll('h2').length") >= 5
        assert found.js(UNSEEN) == []
        found.js("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert found.js(FAINT, 4.5) == []
        assert found.overflow == 0, "opened parts scroll inside their box"


def test_dark_is_dark_and_light_is_light(browser: "Browser", file: Path) -> None:
    pictures, grounds = [], []
    for scheme in SCHEMES:
        with seen(browser, file, "desk", scheme) as found:
            grounds.append(found.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"))
            pictures.append(found.page.screenshot())
    light, dark = grounds
    assert (min(light) > 230, max(dark) < 60) == (True, True)
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize("size", SIZES)
def test_contents_lead_to_every_section_and_stay_in_sight(browser: "Browser", file: Path, size: str) -> None:
    with seen(browser, file, size) as found:
        links = found.page.locator("nav a")
        for name in links.all_inner_texts():
            found.page.locator("nav a", has_text=name).click()
            box = found.page.locator(f"#{name.lower()} h2").bounding_box()
            bar = found.page.locator("nav").bounding_box()
            assert box
            assert bar
            assert 0 <= box["y"] < SIZES[size][1], f"{name} is not on the screen"
            assert size == "desk" or box["y"] >= bar["height"], f"{name} is behind the bar"
            assert bar["y"] == 0


def test_words_of_a_model_run_nothing_and_open_on_a_click(browser: "Browser", file: Path) -> None:
    with seen(browser, file, "phone") as found:
        assert found.js("document.querySelectorAll('script, main script').length") == 0
        assert found.page.locator("details[open]").count() == 0
        hidden = found.page.locator("details", has_text="dropped by verdict: wrong").first
        assert not hidden.locator("pre").first.is_visible()
        hidden.locator("summary").first.click()
        assert hidden.locator("pre").first.inner_text() == "<think>2+3=5</think><script>alert('x')</script>&amp;"
