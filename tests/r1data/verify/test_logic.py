"""reasoning-gym's scorers: every task's gold verifies against itself, and none runs what a model wrote."""

import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import reasoning_gym
from reasoning_gym.factory import DATASETS

from r1data.errors import CheckFailed
from r1data.recipe import SourceParams
from r1data.rewards.score import RuleVerdict
from r1data.steps.golds import logic_gold
from r1data.verify.canaries import check_sources
from r1data.verify.logic import judged_puzzles
from r1data.verify.scorers import _ARITHMETIC, _LITERALS, REFUSED, arithmetic, scorer

CHAIN = json.dumps({"task": "chain_sum", "entry": "{'question': '1 + 2?', 'answer': '3'}"})


def logic_verdict(completion: str, finish: str, gold: str | None) -> RuleVerdict:
    return judged_puzzles([(completion, finish, gold)])[0]


def judged_golds(task: str) -> list[str]:
    """The verdicts of two golds; a task with many right answers states none."""
    golds = [(logic_gold(task, item), item["answer"]) for item in reasoning_gym.create_dataset(task, seed=3, size=2)]
    stated = [(gold, answer) for gold, answer in golds if answer is not None]
    return [logic_verdict(f"<think>.</think><answer>{a}</answer>", "stop", gold).verdict for gold, a in stated]


@pytest.mark.parametrize("task", sorted(set(DATASETS) - set(REFUSED) - {"composite"}))
@pytest.mark.filterwarnings("ignore")
def test_golds_of_every_task_verify(task: str) -> None:
    assert set(judged_golds(task)) <= {"correct"}


@pytest.mark.parametrize("task", [*_LITERALS, *_ARITHMETIC])
def test_scorers_that_evaluate_do_not_run_the_answer(task: str, tmp_path: Path) -> None:
    (item,) = reasoning_gym.create_dataset(task, seed=1, size=1)
    gold = logic_gold(task, item)
    mark = tmp_path / "ran"
    for attack in (f"open({str(mark)!r}, 'w').close()", f"[open({str(mark)!r}, 'w').close()]"):
        found = logic_verdict(f"<answer>{attack}</answer>", "stop", gold)
        assert found.verdict in ("wrong", "undecided"), found
    assert not mark.exists()


def test_the_attack_works_on_the_scorer_as_it_comes(tmp_path: Path) -> None:
    (item,) = reasoning_gym.create_dataset("binary_matrix", seed=1, size=1)
    mark = tmp_path / "ran"
    code = (
        "import json, sys, reasoning_gym\n"
        "reasoning_gym.get_score_answer_fn('binary_matrix')(sys.argv[1], {'answer': 'x', 'metadata': {}})"
    )
    attack = f"open({str(mark)!r}, 'w').close()"
    subprocess.run([sys.executable, "-c", code, attack], check=True, timeout=120)
    assert mark.exists(), f"the scorer of {item['question'][:20]!r} is safe now: our reader can go"


@pytest.mark.parametrize("task", [*REFUSED, "no_such_task"])
def test_tasks_that_cannot_be_made_safe_are_refused(task: str) -> None:
    with pytest.raises(CheckFailed, match=task):
        scorer(task)


def test_a_recipe_with_a_refused_task_is_told_at_once() -> None:
    with pytest.raises(CheckFailed, match="coin_flip") as told:
        check_sources([SourceParams(name="s", kind="logic", task="coin_flip", size=1)])
    assert 'kind = "math"' in str(told.value)


@pytest.mark.parametrize(
    ("text", "value"), [("(1 + 2) * 3", 9), ("7 / 2", "7/2"), ("-4 + 0.5", "-7/2"), (" 8 - (3 - 5) ", 10)]
)
def test_plain_arithmetic(text: str, value: int | str) -> None:
    assert arithmetic(text) == Fraction(value)


@pytest.mark.parametrize("text", ["9**9", "7//2", "x + 1", "__import__('os')", "1 if 1 else 2", "()", "1 +", "1,2"])
def test_anything_else_is_no_arithmetic(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        arithmetic(text)


@pytest.mark.parametrize(
    ("answer", "gold", "verdict", "reason"),
    [
        ("3", None, "undecided", "no_gold"),
        ("3", "no json", "undecided", "unparseable_gold"),
        ("3" * 5000, CHAIN, "wrong", "too_long"),
        ("3", CHAIN, "correct", ""),
        ("13", CHAIN, "wrong", ""),
    ],
)
def test_reasons(answer: str, gold: str | None, verdict: str, reason: str) -> None:
    found = logic_verdict(f"<answer>{answer}</answer>", "stop", gold)
    assert (found.verdict, found.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("puzzle24", "6*4*1*1"),
        ("rush_hour", "A+999999999"),
        ("rubiks_cube", "R3000000000"),
        ("prime_factorization", "I do not know"),
        ("chain_sum", "nan"),
        ("boxnet", "5"),
        ("propositional_logic", "(" * 900),
    ],
)
def test_wrong_hostile_and_unreadable_answers(task: str, answer: str) -> None:
    (item,) = reasoning_gym.create_dataset(task, seed=1, size=1)
    started = time.monotonic()
    found = logic_verdict(f"<answer>{answer}</answer>", "stop", logic_gold(task, item))
    assert found.verdict == "wrong" or found.reason in ("timeout", "error"), found
    assert time.monotonic() - started < 60
    assert logic_verdict("<answer>3</answer>", "stop", CHAIN).verdict == "correct"
