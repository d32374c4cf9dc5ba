"""A judge's answers read strictly, its votes counted, its order bias met; over HTTP with the scripted server."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.data_params import PairLengthParams
from r1data.digest import row_id
from r1data.errors import CheckFailed
from r1data.generate.server import Server
from r1data.judge.answers import AnswerJudgeParams, answer_questions, filled, judged_answers
from r1data.judge.canaries import canary_questions, check_judge
from r1data.judge.pairs import (
    POINTS,
    ChosenPairParams,
    PairJudgeParams,
    judged_preferences,
    orders,
    pair_drops,
    pair_questions,
    pairs,
)
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
CHOOSING = ChosenPairParams(**PAIRS.model_dump(), lengths=PairLengthParams(ratio=100, balanced=False))
BALANCED = ChosenPairParams(**PAIRS.model_dump(), lengths=PairLengthParams(ratio=3.0))


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
    orders = [prompt for _, prompt in pair_questions(params=PAIRS, **frames)]
    assert len(set(orders)) == 3 * 2  # pairs of three different summaries, orders
    assert dict(votes["prompt"].value_counts().iter_rows()) == dict.fromkeys(orders, 2)
    found = judged_preferences(params=CHOOSING, judgements=votes, **frames)
    TABLES["preferences"].conform(found.to_arrow())
    assert sorted(zip(found["chosen"], found["rejected"], strict=True)) == [
        ("Hello! Hi!", "Hello, hello, hello, my friend."),
        ("Hello.", "Hello, hello, hello, my friend."),
    ]
    assert set(found["margin"]) == {2.0}
    assert set(found["votes"]) == {4}
    assert found["chosen_characters"].to_list() == [len(c) for c in found["chosen"]]
    gone = pair_drops(params=CHOOSING, judgements=votes, **frames)
    assert gone["reason"].to_list() == ["too_close"]


def test_a_judge_that_prefers_the_first_prefers_nothing() -> None:
    frames = {"candidates": RESPONSES, "problems": TALK}
    asked = pair_questions(params=PAIRS, **frames)
    votes = frame([{"prompt": prompt, "completion": '{"verdict": "A>>B"}'} for _, prompt in asked])
    assert judged_preferences(params=CHOOSING, judgements=votes, **frames).height == 0
    assert set(pair_drops(params=CHOOSING, judgements=votes, **frames)["reason"]) == {"too_close"}


def test_a_pair_read_in_one_order_only_is_no_preference() -> None:
    frames = {"candidates": RESPONSES, "problems": TALK}
    asked = [prompt for _, prompt in pair_questions(params=PAIRS, **frames)]
    votes = frame([{"prompt": p, "completion": json.dumps({"verdict": "A>>B"})} for p in asked[::2]])
    assert judged_preferences(params=CHOOSING, judgements=votes, **frames).height == 0
    assert set(pair_drops(params=CHOOSING, judgements=votes, **frames)["reason"]) == {"unreadable_judgement"}


def said(margins: list[tuple[str, str]], asked: list[str]) -> pl.DataFrame:
    """Votes: for every pair in turn what is said in one order and in the other."""
    told = [verdict for both in margins for verdict in both]
    pairs_ = zip(asked, told, strict=True)
    return frame([{"prompt": p, "completion": json.dumps({"verdict": verdict})} for p, verdict in pairs_])


def test_a_difference_of_exactly_the_least_is_too_close() -> None:
    frames = {"candidates": RESPONSES, "problems": TALK}
    asked = [prompt for _, prompt in pair_questions(params=PAIRS, **frames)]
    votes = said([("A>B", "B>A"), ("A>B", "B>>A"), ("A>>B", "A=B")], asked)  # 1, 1.5 and 1 points
    found = judged_preferences(params=CHOOSING, judgements=votes, **frames)
    assert found["margin"].to_list() == [1.5]
    gone = pair_drops(params=CHOOSING, judgements=votes, **frames)
    assert gone.select("reason", "value").rows() == [("too_close", "1, 0 unread")] * 2


def test_the_judge_and_the_reward_model_see_summaries_alone() -> None:
    frames = {"candidates": RESPONSES, "problems": TALK}
    asked = [prompt for _, prompt in pair_questions(params=PAIRS, **frames)]
    assert not any("<think>" in prompt or "long</think>" in prompt for prompt in asked)
    votes = said([("A>>B", "B>>A")] * 3, asked)
    found = judged_preferences(params=CHOOSING, judgements=votes, **frames)
    assert found.height == 3
    assert {*found["chosen"], *found["rejected"]} == {"Hello.", "Hello! Hi!", "Hello, hello, hello, my friend."}


LENGTHS = pl.concat(
    frame(
        [
            {
                "candidate_id": f"{i:03d}{j}",
                "problem_id": f"g{i:03d}",
                "prompt": f"Hi {i}",
                "completion": "xy"[j] * size,
            }
            for j, size in enumerate((20 + i % 7, (20 + i % 7) * (100 + 11 * (i % 25)) // 100))
        ]
    )
    for i in range(300)
)
GREETINGS = problems("general", problem_id=[f"g{i:03d}" for i in range(300)], question=[f"Hi {i}" for i in range(300)])


def fond_of_length(candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """Votes for the longer of nine pairs in twelve and the shorter of two; the twelfth is a tie or is not read."""
    rows = []
    for i, (a, b) in enumerate(pairs(PAIRS.model_copy(update={"max_pairs": 1_000}), candidates, problems)):
        first = (len(a["summary"]) > len(b["summary"])) == (i % 12 < 9)
        forth, back = ("A>>B", "B>>A") if first else ("B>>A", "A>>B")
        forth, back = (forth, back) if i % 12 < 11 else ("A=B", "A=B") if i % 24 < 12 else ("mumble", "mumble")
        both = orders(PAIRS.template, a, b)
        rows += [
            {"prompt": p, "completion": json.dumps({"verdict": v}), "sample_index": k}
            for p, v in zip(both, (forth, back), strict=True)
            for k in range(2)
        ]
    return frame(rows)


def test_a_judge_fond_of_length_teaches_no_length() -> None:
    frames = {"candidates": LENGTHS, "problems": GREETINGS}
    votes, wide = fond_of_length(**frames), {"max_pairs": 1_000}
    before, params = CHOOSING.model_copy(update=wide), BALANCED.model_copy(update=wide)
    raw = sizes(judged_preferences(params=before, judgements=votes, **frames))
    assert sum(a > b for a, b in raw) > 0.7 * len(raw), "the judge that was made up is not biased"
    found = sizes(judged_preferences(params=params, judgements=votes, **frames))
    assert sum(a == b for a, b in found) == sum(a == b for a, b in raw) > 0
    assert max(max(pair) / min(pair) for pair in found) <= 3.0
    assert abs(sum(math.log(a / b) for a, b in found) / len(found)) < 0.05
    for low, high in ((1.0, 1.25), (1.25, 1.5625), (1.5625, 1.953125), (1.953125, 2.44140625)):
        both = [(a, b) for a, b in found if a != b and low <= max(a, b) / min(a, b) < high]
        assert 2 * sum(a > b for a, b in both) == len(both) > 0


def sizes(found: pl.DataFrame) -> list[tuple[int, int]]:
    """Characters of the chosen and of the rejected."""
    return found.select("chosen_characters", "rejected_characters").rows()


def test_every_judged_pair_is_a_preference_or_a_drop_whatever_the_order_of_rows() -> None:
    frames = {"candidates": LENGTHS, "problems": GREETINGS}
    votes, params = fond_of_length(**frames), BALANCED.model_copy(update={"max_pairs": 1_000})
    judged = pairs(params, **frames)
    found = judged_preferences(params=params, judgements=votes, **frames)
    gone = pair_drops(params=params, judgements=votes, **frames)
    names = {row_id("judged pair", a["candidate_id"], b["candidate_id"]) for a, b in judged}
    kept = {row_id("judged pair", *sorted(p)) for p in found.select("chosen_id", "rejected_id").iter_rows()}
    assert kept | set(gone["row_id"]) == names
    assert len(judged) == found.height + gone.height
    reasons = {"too_close", "unreadable_judgement", "lengths_differ", "length_balance"}
    assert set(gone["reason"]) == reasons
    assert set(gone["gate"]) == {"preference"}
    assert gone.filter(reason="lengths_differ")["value"].str.contains(r"^chosen \d+, rejected \d+ characters$").all()
    turned = {name: table.reverse() for name, table in frames.items()}
    again = judged_preferences(params=params, judgements=votes.reverse(), **turned)
    assert again.sort("pair_id").equals(found.sort("pair_id"))


def test_responses_are_of_the_third_stage_and_no_vote_is_asked_again_for_lengths(
    server: Server, tmp_path: Path
) -> None:
    recipe = recipe_with_judge(server, tmp_path)
    assert node(recipe, "preferences/candidates").inputs["model"] == "dev3"
    for name in ("preferences", "preferences/drops", "preferences/judgements", "safety_labels"):
        assert node(recipe, name).inputs["candidates"] == "preferences/candidates"
    assert node(recipe, "rm_helpful").inputs["data"] == "preferences"
    lengths = PairLengthParams(ratio=5.0)
    other = recipe.model_copy(update={"preferences": recipe.preferences.model_copy(update={"lengths": lengths})})
    changed = {n.name for n in graph(recipe) if n.params != node(other, n.name).params}
    assert changed == {"preferences", "preferences/drops"}


def test_without_a_judge_lengths_change_nothing() -> None:
    recipe = load_recipe("smoke")
    told = node(recipe, "preferences").params.model_dump()
    assert set(told) == {"sampling", "least_margin", "max_pairs"}


def test_every_pair_is_a_preference_or_a_drop() -> None:
    frames = {"candidates": RESPONSES, "problems": TALK}
    verdicts_ = list(POINTS)
    asked = [prompt for _, prompt in pair_questions(params=PAIRS, **frames)]
    votes = frame([{"prompt": p, "completion": json.dumps({"verdict": verdicts_[i % 5]})} for i, p in enumerate(asked)])
    kept = judged_preferences(params=CHOOSING, judgements=votes, **frames).height
    assert kept + pair_drops(params=CHOOSING, judgements=votes, **frames).height == 3
