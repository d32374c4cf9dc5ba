"""A gate that drops more or less than its band stops the ref, whether the drops are new or were there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from r1data.checks.bands import check_bands
from r1data.errors import CheckFailed
from r1data.gate_params import Band, ColdStartGate
from r1data.manifest import Manifest, is_committed
from r1data.recipe import load_recipe
from r1data.refs import list_refs, resolve
from r1data.run import LocalServices
from r1data.runner import Runner
from r1data.settings import Settings
from r1data.step import Node
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import RECIPE, Services, make_lake, nodes


def run(lake: Lake, bands: dict[str, Band]) -> None:
    """The tiny recipe up to its drops, whose gate `verdict` leaves 1 of 4."""

    def admit(node: Node, manifest: Manifest) -> None:
        if node.name == "cold_start/drops":
            check_bands(lake, manifest, bands)

    runner = Runner(lake, RECIPE, Services(lake), report=lambda _: None, admit=admit)
    for node in nodes()[:7]:
        runner.run(node)


@pytest.mark.parametrize("band", [(0.0, 0.5), (0.8, 1.0)], ids=["more", "less"])
def test_outside_its_band_nothing_is_published(tmp_path: Path, band: Band) -> None:
    lake = Lake.open(str(tmp_path))
    with pytest.raises(CheckFailed) as found:
        run(lake, {"verdict": band})
    assert "verdict dropped 3 of 4 candidates (75.0%), its band is" in str(found.value)
    assert "[cold_start.gate.bands]" in found.value.remedy
    assert "tiny/cold_start/measures" in list_refs(lake)
    assert "tiny/cold_start/drops" not in list_refs(lake)


def test_inside_its_band_it_is(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    run(lake, {"verdict": (0.7, 0.8), "repetition": (0, 0.1)})
    assert resolve(lake, "tiny/cold_start/drops").rows == 3


def test_a_gate_that_drops_nothing_can_be_outside(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="repetition dropped 0 of 4"):
        run(Lake.open(str(tmp_path)), {"repetition": (0.1, 1)})


def test_what_was_counted_once_is_not_read_again(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    run(lake, {"verdict": (0.7, 0.8)})
    for shard in resolve(lake, "tiny/cold_start/drops").shards:
        lake.delete(shard.path)
    run(lake, {"verdict": (0.7, 0.8)})
    with pytest.raises(CheckFailed, match=r"verdict dropped 3 of 4 candidates \(75.0%\)"):
        run(lake, {"verdict": (0, 0.5)})


def test_drops_that_are_there_are_asked_again(tmp_path: Path) -> None:
    lake = make_lake(tmp_path)
    before = resolve(lake, "tiny/cold_start/drops")
    with pytest.raises(CheckFailed):
        run(lake, {"verdict": (0, 0.5)})
    assert is_committed(lake, before.path)


def services(lake: Lake, recipe: str, bands: dict[str, Band]) -> LocalServices:
    """A run's own services, of which nothing is started."""
    told = load_recipe(recipe)
    part = told.cold_start.model_copy(update={"gate": ColdStartGate(bands=bands)})
    nothing: Any = None
    settings = Settings.from_environment({}, lake=lake.url)
    return LocalServices(lake, told.model_copy(update={"cold_start": part}), "", settings, nothing, nothing)


def test_a_run_asks_the_bands_of_its_recipe(tmp_path: Path) -> None:
    lake = make_lake(tmp_path)
    drops = resolve(lake, "tiny/cold_start/drops")
    node = next(n for n in nodes() if n.name == "cold_start/drops")
    services(lake, "smoke", {"verdict": (0.7, 0.8)}).admit(node, drops)
    with pytest.raises(CheckFailed, match="verdict dropped 3 of 4"):
        services(lake, "smoke", {"verdict": (0, 0.5)}).admit(node, drops)


def test_language_is_asked_of_the_gate_that_judges_it(tmp_path: Path) -> None:
    """A teacher translates: before it thoughts of any language pass."""
    bands: dict[str, Band] = {"language": (0, 0.1), "verdict": (0, 1)}
    found = services(Lake.open(str(tmp_path)), "deepseek-r1", bands)
    made = nodes()[0]
    first, second = (found._bands(replace(made, name=f"cold_start/{n}")) for n in ("drops", "refined/drops"))
    assert (set(first), set(second)) == ({"verdict"}, {"language"})
