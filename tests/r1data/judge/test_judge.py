"""A judge's answers read strictly, its votes counted, its order bias met; over HTTP with the scripted server."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.errors import CheckFailed
from r1data.generate.server import Server
from r1data.judge.answers import AnswerJudgeParams, answer_questions, filled, judged_answers
from r1data.judge.canaries import canary_questions, check_judge
from r1data.judge.pairs import POINTS, PairJudgeParams, judged_preferences, pair_drops, pair_questions
from r1data.judge.reading import majority, verdict_in
from r1data.recipe import SHIPPED, Recipe, load_recipe, template_text
from r1data.served import served_answers
from r1data.stages import graph
from r1data.step import Node
from r1data.storage import Lake
from r1data.verify.verdicts import verdicts
from schemas import TABLES
from tests.running import desk

ANSWERS = AnswerJudgeParams(
    model="judge", template=template_text("judge_answer"), temperature=0.0, max_tokens=64, votes=1, budget=None
)
PAIRS = PairJudgeParams(
    model="judge",
    template=template_text("judge_pair"),
    temperature=0.0,
    max_tokens=64,
    votes=4,
    max_pairs=100,
    least_margin=1.0,
)


@pytest.mark.parametrize(
    ("answer", "finish", "verdict"),
    [
        ('{"verdict": "correct"}', "stop", "correct"),
        ('{"reason": "same", "verdict": "incorrect"}', "stop", "incorrect"),
        ('```json\n{"verdict": "correct"}\n```', "stop", "correct"),
        ('{"verdict": "correct"}', "length", None),
        ('{"verdict": "Correct"}', "stop", None),
        ('{"verdict": true}', "stop", None),
        ('{"verdict": ["correct"]}', "stop", None),
        ('["correct"]', "stop", None),
        ("correct", "stop", None),
        ('It is {"verdict": "correct"}', "stop", None),
        ('{"verdict": "correct"} {"verdict": "incorrect"}', "stop", None),
        ("", "stop", None),
        ("[" * 100_000, "stop", None),
    ],
)
def test_only_one_json_object_with_a_known_verdict_is_a_vote(answer: str, finish: str, verdict: str | None) -> None:
    assert verdict_in(answer, finish, ("correct", "incorrect")) == verdict


@pytest.mark.parametrize(
    ("votes", "found"),
    [
        (["a"], ("a", "")),
        (["a", "b", "a"], ("a", "")),
        (["a", None, None], ("a", "")),
        (["a", "b"], (None, "votes_tie")),
        ([None, None], (None, "unreadable_judgement")),
        ([], (None, "no_judgement")),
    ],
)
def test_majority(votes: list[str | None], found: tuple[str | None, str]) -> None:
    assert majority(votes) == found


def test_what_is_put_into_a_template_is_not_filled_again() -> None:
    assert filled("{a} {b}", {"{a}": "{b}", "{b}": "x"}) == "{b} x"


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """CANDIDATES with what is not told filled in."""
    filler = {"int64": 0, "double": 0.0}
    blank = {f.name: filler.get(str(f.type), "") for f in TABLES["candidates"].schema}
    return pl.DataFrame([{**blank, "finish_reason": "stop", **r} for r in rows])


def problems(kind: str, **columns: list[Any]) -> pl.DataFrame:
    count = len(columns["problem_id"])
    return pl.DataFrame({"kind": [kind] * count, **columns})


ASKED = problems("judged", problem_id=["p"], question=["Who?"], answer=["Ada Lovelace"])
SAID = frame(
    [
        {"candidate_id": "a", "problem_id": "p", "completion": "<think>Bob?</think>It was Ada Lovelace."},
        {"candidate_id": "b", "problem_id": "p", "completion": "<think>Ada Lovelace</think>It was Bob."},
        {"candidate_id": "c", "problem_id": "p", "completion": "I mumble Ada Lovelace"},
        {"candidate_id": "d", "problem_id": "p", "completion": "Ada Lovelace", "finish_reason": "length"},
    ]
)


def recipe_with_judge(server: Server, tmp_path: Path, model: str = "judge") -> Recipe:
    path = tmp_path / "judged.toml"
    judge = f'\n[judge]\nurl = "{server.url}"\nmodel = "{model}"\n'
    source = '\n[[sources]]\nname = "open"\nkind = "judged"\nurl = "open.jsonl"\n'
    path.write_text((SHIPPED / "smoke.toml").read_text(encoding="utf-8") + source + judge, encoding="utf-8")
    return load_recipe(str(path))


def node(recipe: Recipe, name: str) -> Node:
    return next(n for n in graph(recipe) if n.name == name)


def test_answers_are_judged_over_http_and_become_verdicts(server: Server, lake: Lake, tmp_path: Path) -> None:
    recipe = recipe_with_judge(server, tmp_path)
    frames = {"candidates": SAID, "problems": ASKED}
    votes = pl.concat(served_answers(desk(lake), recipe, None, node(recipe, "cold_start/judgements"), frames))
    params = node(recipe, "cold_start/verdicts").params
    found = verdicts(params=params, judgements=votes, **frames).sort("candidate_id")  # type: ignore[arg-type]
    assert found["verdict"].to_list() == ["correct", "wrong", "undecided", "wrong"]
    assert found["reason"].to_list() == ["", "", "unreadable_judgement", "truncated"]
    assert {t.rpartition(" ")[0] for t in found["tier"].to_list()[:3]} == {"judge judge"}


def test_what_is_beyond_the_budget_is_not_asked_and_undecided() -> None:
    frames = {"candidates": SAID, "problems": ASKED}
    params = ANSWERS.model_copy(update={"budget": 1})
    assert len(answer_questions(params=ANSWERS, **frames)) == 3
    ((_, prompt),) = answer_questions(params=params, **frames)
    votes = frame([{"prompt": prompt, "completion": '{"verdict": "correct"}'}])
    found = judged_answers(params, SAID, ASKED, votes)
    assert [found[c].verdict for c in "abc"] == ["correct", "undecided", "undecided"]
    assert found["b"].reason == "no_judgement"


def test_a_judge_that_fails_a_question_of_known_outcome_is_not_used(server: Server, tmp_path: Path) -> None:
    for params in (ANSWERS, PAIRS):
        known = canary_questions(params)
        check_judge("judge", known, {prompt: [right[0]] for prompt, right in known.items()})
        always = {prompt: ["correct" if params is ANSWERS else "A>B"] for prompt in known}
        with pytest.raises(CheckFailed, match="known outcome it said"):
            check_judge("judge", known, always)
        with pytest.raises(CheckFailed, match="no judgement"):
            check_judge("judge", known, {})


TALK = problems("general", problem_id=["g"], question=["Hi"])
RESPONSES = frame(
    [
        {"candidate_id": "a", "problem_id": "g", "prompt": "Hi", "completion": "<think>long</think>Hello."},
        {"candidate_id": "b", "problem_id": "g", "prompt": "Hi", "completion": "Hello, hello, hello, my friend."},
        {"candidate_id": "c", "problem_id": "g", "prompt": "Hi", "completion": "Hello! Hi!"},
        {"candidate_id": "d", "problem_id": "g", "prompt": "Hi", "completion": "<think>other</think>Hello."},
    ]
)


def test_pairs_are_judged_over_http_in_both_orders(server: Server, lake: Lake, tmp_path: Path) -> None:
    recipe = recipe_with_judge(server, tmp_path)
    frames = {"candidates": RESPONSES, "problems": TALK}
    votes = pl.concat(served_answers(desk(lake), recipe, None, node(recipe, "preferences/judgements"), frames))
    assert votes.height == 3 * 2 * 2  # pairs of three different summaries, orders, votes in each
    found = judged_preferences(params=PAIRS, judgements=votes, **frames)
    TABLES["preferences"].conform(found.to_arrow())
    assert sorted(zip(found["chosen"], found["rejected"], strict=True)) == [
        ("Hello! Hi!", "Hello, hello, hello, my friend."),
        ("Hello.", "Hello, hello, hello, my friend."),
    ]
    assert set(found["margin"]) == {2.0}
    assert set(found["votes"]) == {4}
    assert found["chosen_characters"].to_list() == [len(c) for c in found["chosen"]]
    gone = pair_drops(params=PAIRS, judgements=votes, **frames)
    assert gone["reason"].to_list() == ["too_close"]


def test_a_judge_that_prefers_the_first_prefers_nothing() -> None:
    frames = {"candidates": RESPONSES, "problems": TALK}
    asked = pair_questions(params=PAIRS, **frames)
    votes = frame([{"prompt": prompt, "completion": '{"verdict": "A>>B"}'} for _, prompt in asked])
    assert judged_preferences(params=PAIRS, judgements=votes, **frames).height == 0
    assert set(pair_drops(params=PAIRS, judgements=votes, **frames)["reason"]) == {"too_close"}


def test_a_pair_read_in_one_order_only_is_no_preference() -> None:
    frames = {"candidates": RESPONSES, "problems": TALK}
    asked = [prompt for _, prompt in pair_questions(params=PAIRS, **frames)]
    votes = frame([{"prompt": p, "completion": json.dumps({"verdict": "A>>B"})} for p in asked[::2]])
    assert judged_preferences(params=PAIRS, judgements=votes, **frames).height == 0
    assert set(pair_drops(params=PAIRS, judgements=votes, **frames)["reason"]) == {"unreadable_judgement"}


def test_every_pair_is_a_preference_or_a_drop() -> None:
    frames = {"candidates": RESPONSES, "problems": TALK}
    verdicts_ = list(POINTS)
    asked = [prompt for _, prompt in pair_questions(params=PAIRS, **frames)]
    votes = frame([{"prompt": p, "completion": json.dumps({"verdict": verdicts_[i % 5]})} for i, p in enumerate(asked)])
    kept = judged_preferences(params=PAIRS, judgements=votes, **frames).height
    assert kept + pair_drops(params=PAIRS, judgements=votes, **frames).height == 3
