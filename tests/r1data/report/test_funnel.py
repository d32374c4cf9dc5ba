"""Funnels of every dataset of dropped rows: what went in, also where a step chooses what it looks at."""

from pathlib import Path

import polars as pl
import pytest

from r1data.cleaning_params import DecontaminationParams
from r1data.params import Params
from r1data.report.funnel import Funnel, drop_refs, dropped, funnel
from r1data.runner import Runner
from r1data.step import Node, Step
from r1data.steps.decontaminate import CONTAMINATED
from r1data.steps.gates import EVIDENCE
from r1data.steps.rl_prompts import RL_PROMPT_DROPS, RL_PROMPTS, RlPromptsParams
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.inspect.tiny_lake import Services, filled

PROBLEMS = 40


class NoParams(Params):
    """Nothing to tell."""


def problems(*, params: Params) -> pl.DataFrame:
    """Half of them for training; none of the other half is looked at."""
    rows = [{"problem_id": f"p{i:02}", "kind": "math", "split": "train" if i % 2 else "eval"} for i in range(PROBLEMS)]
    return filled("problems", [{**r, "question": "q" * 500} for r in rows])


def difficulty(*, params: Params) -> pl.DataFrame:
    """All but four are always right."""
    rows = [(f"p{i:02}", 4, 2 if i < 8 else 4) for i in range(PROBLEMS)]
    return filled(
        "difficulty",
        [{"difficulty_id": p, "problem_id": p, "asked": n, "correct": c, "wrong": n - c} for p, n, c in rows],
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    opened = Lake.open(str(tmp_path))
    told, known = RlPromptsParams(prompts="mixed"), {"problems": "problems", "difficulty": "difficulty"}
    runner = Runner(opened, "t", Services(opened), report=lambda _: None)
    for node in (
        Node("problems", "s", Step("problems", "1", "reduce", TABLES["problems"], problems), NoParams()),
        Node("difficulty", "s", Step("difficulty", "1", "reduce", TABLES["difficulty"], difficulty), NoParams()),
        Node("dev2/prompts", "s", RL_PROMPTS, told, known),
        Node("dev2/prompt_drops", "s", RL_PROMPT_DROPS, told, known),
        Node("problems/contaminated", "s", CONTAMINATED, DecontaminationParams(), {"problems": "problems"}),
    ):
        runner.run(node)
    return opened


def test_a_step_that_chooses_its_rows_counts_those_it_looked_at(lake: Lake) -> None:
    assert drop_refs(lake, "t") == ["t/dev2/prompt_drops", "t/problems/contaminated"]
    found = funnel(lake, "t/dev2/prompt_drops")
    assert (found.rows_in, found.rows_out) == (20, 4)
    assert found.cells[1] == ("- difficulty: all right", "16", "80.0 %")


def test_benchmarks_are_no_rows_that_decontamination_keeps(lake: Lake) -> None:
    """All ask the same here, so that every problem to train on leaves."""
    found = funnel(lake, "t/problems/contaminated")
    assert (found.rows_in, found.rows_out) == (PROBLEMS // 2, 0)


def test_ten_examples_of_each_reason_are_shown(lake: Lake) -> None:
    ((reason, rows),) = dropped(lake, "t/dev2/prompt_drops").items()
    assert reason == ("difficulty", "all_right")
    assert len(rows) == 10
    assert {len(row.evidence) for row in rows} == {EVIDENCE}


def test_shares_are_of_what_was_dropped_where_nothing_else_is_known() -> None:
    found = Funnel(None, (("written_tests", "slow", 3), ("written_tests", "unreadable", 1)))
    assert found.cells[0] == ("dropped", "4", "100.0 %")
    assert found.cells[-1] == ("- written_tests: unreadable", "1", "25.0 %")


def test_an_edited_row_has_another_in_its_place() -> None:
    found = Funnel(40, (("review", "rejected", 2), ("review", "edited", 1)))
    assert (found.dropped, found.rows_out) == (3, 38)
