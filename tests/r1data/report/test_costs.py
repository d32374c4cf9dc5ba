"""What nodes took: tokens as the lake holds them, hours from the record of the sampling, nothing guessed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from r1data.manifest import Manifest
from r1data.pilot import pilot_file
from r1data.recipe import Recipe, load_recipe
from r1data.refs import list_refs, resolve
from r1data.report.costs import COLUMNS, CostLine, cost_lines
from r1data.spending import BudgetParams
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake

DOMAIN = {"kind": "math", "category": "a", "prompts": 1, "candidates": 1, "prompt_tokens": 1, "tokens": 9}
PILOT = {
    "model": "tiny/zero",
    "model_digest": "d",
    "sampling_digest": "s",
    "template_digest": "t",
    "when": 1.0,
    "tokens_per_second": 0.01,
    "gpus": 2,
    "complete": True,
    "domains": [{**DOMAIN, "variance": 0.0, "truncated": 0.0, "truncated_tokens": 0.0}],
}


def _tiny(folder: Path) -> tuple[Lake, Recipe, dict[str, Manifest]]:
    lake = make_lake(folder)
    recipe = load_recipe("smoke").model_copy(update={"name": "tiny"})
    return lake, recipe, {ref.removeprefix("tiny/"): resolve(lake, ref) for ref in list_refs(lake)}


def test_hours_of_sampling_are_of_its_record_and_else_not_known(tmp_path: Path) -> None:
    lake, recipe, made = _tiny(tmp_path)
    lake.write(pilot_file("tiny", "cold_start/candidates"), json.dumps(PILOT).encode())
    lines = {line.node: line for line in cost_lines(lake, recipe, made)}
    known, unknown = lines["cold_start/candidates"], lines["eval/zero/candidates"]
    assert (known.answers, known.tokens) == (4, 36)
    assert known.gpu_hours == pytest.approx(36 / 0.01 * 2 / 3600)
    assert unknown.gpu_hours is None
    assert lines["zero"].what == "training (train)"
    assert (lines["zero"].answers, lines["zero"].tokens) == (1, 0)
    assert lines["base"].tokens is None


def test_the_sum_is_of_what_is_known_and_every_node_is_in_a_line(tmp_path: Path) -> None:
    lake, recipe, made = _tiny(tmp_path)
    total, *lines = cost_lines(lake, recipe, made)
    assert total.tokens == sum(line.tokens or 0 for line in lines)
    assert total.seconds == pytest.approx(sum(m.finished - m.started for m in made.values()))
    rest = next(line for line in lines if line.what == "tables")
    assert rest.node == f"{len(made) - len(lines) + 1} others"


def test_cells_have_a_price_only_where_there_is_one() -> None:
    line = CostLine("zero", "training (grpo)", 12, None, 3456, 7.25, 2.0)
    cells = dict(zip(COLUMNS, line.cells(BudgetParams(gpu_hour_price=1.5, currency="EUR")), strict=True))
    assert (cells["tokens generated"], cells["tokens asked"], cells["cost"]) == ("3,456", "-", "3.00 EUR")
    assert replace(line, gpu_hours=1e-5).cells(BudgetParams())[3] == "< 0.01"
    assert line.cells(BudgetParams())[3:5] == ("2.00", "-")
