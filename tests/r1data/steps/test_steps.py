"""Pure steps: same input, same output; what leaves has a reason; splits stay apart whatever the wording."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.digest import digest_table
from r1data.errors import CheckFailed, RecipeError
from r1data.params import Params
from r1data.recipe import PreferenceParams, SourceParams, load_recipe
from r1data.rewards.score import rule_verdict
from r1data.steps.arithmetic import Sum, rewritten, sum_of, summary_sentence
from r1data.steps.corpus import CorpusParams, corpus
from r1data.steps.examples import GeneralParams, cold_start, general
from r1data.steps.gates import DropsParams, drops
from r1data.steps.measures import measures
from r1data.steps.preferences import preferences, safety_labels
from r1data.steps.problems import ProblemsParams, assert_disjoint, content, problem_drops, problems
from r1data.steps.refine import RefineParams, refined_examples, refinements, repeated
from r1data.verify.canaries import gold_failures
from schemas import TABLES

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SOURCES = load_recipe("smoke").sources
GOOD = "<think>3 plus 5 is 8, then 2 plus 4 plus 0 is 6</think><answer>68</answer>"


@pytest.fixture(scope="module")
def found() -> pl.DataFrame:
    return problems(params=ProblemsParams(sources=SOURCES))


def test_problems_fit_their_table_and_repeat(found: pl.DataFrame) -> None:
    table = TABLES["problems"].conform(found.to_arrow())
    again = TABLES["problems"].conform(problems(params=ProblemsParams(sources=SOURCES)).to_arrow())
    assert digest_table(table) == digest_table(again)
    assert set(found["split"]) == {"train", "eval"}
    assert set(found["language"]) == {"en", "zh"}


def test_no_sum_is_in_two_splits_in_any_wording(found: pl.DataFrame) -> None:
    sums = found.filter(pl.col("kind") == "math")
    by_split = {s: {content(r) for r in sums.filter(pl.col("split") == s).to_dicts()} for s in ("train", "eval")}
    assert by_split["train"]
    assert not by_split["train"] & by_split["eval"]


def test_overlap_is_refused(found: pl.DataFrame) -> None:
    row = found.filter(pl.col("split") == "eval").head(1)
    with pytest.raises(CheckFailed, match="in both"):
        assert_disjoint(pl.concat([row, row.with_columns(split=pl.lit("train"))]))


def test_problems_that_leave_are_told(tmp_path: Any) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"question": "1+1=?", "answer": "2"}\n{"question": " 1+1=? ", "answer": "2"}\n', encoding="utf-8")
    asked = [SourceParams(name=split, url=str(path), split=split) for split in ("train", "benchmark")]
    params = ProblemsParams(sources=(*asked, SOURCES[0]))
    kept, gone = problems(params=params), problem_drops(params=params)
    mine = gone.filter(pl.col("gate") == "duplicate")
    assert kept.filter(pl.col("split") == "benchmark").height == 1
    assert sorted(mine["reason"]) == ["in_benchmark"] * 3
    assert set(gone.filter(pl.col("gate") == "wording")["reason"]) <= {"no_wording"}
    assert kept.height + gone.height == 4 + SOURCES[0].size
    assert gone["row_id"].is_unique().all()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not on this machine")
def test_real_sets_by_a_column_mapping_stay_apart() -> None:
    """GSM8K to train on, AIME 2024 and Minerva held out; every gold answer verifies against itself."""
    sets = [
        SourceParams(name="gsm8k", url=str(SHARED / "gsm8k_train.jsonl"), answer_after="####", category="word problem"),
        SourceParams(
            name="aime24",
            url=str(SHARED / "aime24_test.jsonl"),
            split="benchmark",
            columns={"question": "problem"},
        ),
    ]
    found = problems(params=ProblemsParams(sources=tuple(sets)))
    sizes = dict(found.group_by("split").len().iter_rows())
    gone = problem_drops(params=ProblemsParams(sources=tuple(sets)))
    assert sizes["benchmark"] == 30
    assert sizes["train"] + gone.height == 7_473
    first = found.filter(pl.col("question").str.starts_with("Natalia sold clips"))
    assert first["answer"].to_list() == ["72"]
    assert gold_failures(found.select("kind", "answer").iter_rows()) == []


def test_jsonl_with_a_column_mapping(tmp_path: Any) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"q": "How many?", "a": "so #### 12"}\n', encoding="utf-8")
    columns = {"question": "q", "answer": "a"}
    source = SourceParams(name="f", url=str(path), columns=columns, answer_after="####")
    assert problems(params=ProblemsParams(sources=(source,)))["answer"].to_list() == ["12"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not on this machine")
def test_humaneval_as_a_source_of_programming_problems() -> None:
    columns = {
        "question": "prompt",
        "prelude": "prompt",
        "asserts": "test",
        "function": "entry_point",
        "solution": "canonical_solution",
    }
    source = SourceParams(name="humaneval", kind="code", url=str(SHARED / "humaneval_even.jsonl"), columns=columns)
    found = problems(params=ProblemsParams(sources=(source,)))
    assert found.height == 82
    assert set(found["kind"]) == {"code"}
    assert gold_failures(found.select("kind", "answer").iter_rows()) == []


def write(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return str(path)


def test_programming_problems_with_test_sets_as_text_or_as_records(tmp_path: Path) -> None:
    tests = {"stdio": [["1 2", "3"]], "solution": "print(sum(map(int, input().split())))"}
    for i, told in enumerate((json.dumps(tests), tests)):
        source = SourceParams(
            name="f", kind="code", url=write(tmp_path / f"{i}.jsonl", {"question": "Add.", "tests": told})
        )
        found = problems(params=ProblemsParams(sources=(source,)))
        assert json.loads(found["answer"][0]) == tests
        assert gold_failures(found.select("kind", "answer").iter_rows()) == []


@pytest.mark.parametrize("answer", ["B", "b", 1, "Paris"])
@pytest.mark.parametrize("options", [["Lyon", "Paris"], {"A": "Lyon", "B": "Paris", "C": None}])
def test_choices_are_listed_and_the_answer_is_a_letter(answer: str | int, options: Any, tmp_path: Path) -> None:
    url = write(tmp_path / "c.jsonl", {"question": "Capital?", "answer": answer, "options": options})
    found = problems(params=ProblemsParams(sources=(SourceParams(name="f", kind="choice", url=url),)))
    assert found["question"].to_list() == ["Capital?\nA. Lyon\nB. Paris"]
    assert json.loads(found["answer"][0]) == {"answer": "B", "options": {"A": "Lyon", "B": "Paris"}}


def test_a_choice_whose_answer_is_no_option_is_named(tmp_path: Path) -> None:
    url = write(tmp_path / "c.jsonl", {"question": "Capital?", "answer": "Rome", "options": ["Lyon", "Paris"]})
    with pytest.raises(RecipeError, match="the answer 'Rome' is none of the options"):
        problems(params=ProblemsParams(sources=(SourceParams(name="f", kind="choice", url=url),)))


def test_puzzles_bring_what_their_scorer_needs() -> None:
    source = SourceParams(name="f", kind="logic", task="knights_knaves", size=3)
    found = problems(params=ProblemsParams(sources=(source,)))
    assert found.height == 3
    assert gold_failures(found.select("kind", "answer").iter_rows()) == []


def test_missing_column_is_named(tmp_path: Any) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"q": "How many?"}\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"no column 'question'.*\n.*set columns.question"):
        problems(params=ProblemsParams(sources=(SourceParams(name="f", url=str(path)),)))


@pytest.mark.parametrize(("line", "told"), [('{"q": ', "line 2: Expecting value"), ("[1]", "line 2: no JSON object")])
def test_a_broken_line_is_named(line: str, told: str, tmp_path: Any) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f'{{"question": "1+1?", "answer": "2"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=told):
        problems(params=ProblemsParams(sources=(SourceParams(name="f", url=str(path)),)))


def test_missing_file_is_named() -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.jsonl"):
        problems(params=ProblemsParams(sources=(SourceParams(name="f", url="nowhere.jsonl"),)))


def test_corpus_has_nothing_of_the_held_out(found: pl.DataFrame) -> None:
    texts = corpus(params=CorpusParams(documents=400, seed=0, template="{question}\n"), problems=found)["text"]
    held = [sum_of(m, "en") for m in found.filter(pl.col("split") == "eval")["metadata"]]
    heads = {t.split("\n")[0] for t in texts}
    assert len(heads) > 200
    assert not heads & {f"{s.a}{s.op}{s.b}=?" for s in held}
    assert not heads & {f"{s.a}{'加' if s.op == '+' else '减'}{s.b}得几?" for s in held}


def test_refinement_translates_word_by_word() -> None:
    assert rewritten("3 plus 5 is 8, then 2 plus 4", "zh") == "3加5得8,再2加4"
    assert rewritten("3加5得8,再2加4", "en") == "3 plus 5 is 8, then 2 plus 4"
    assert summary_sentence(Sum(23, 45, "+", "zh"), "68") == "所以23加45得68。"


def sampled(completions: list[str], finish: str = "stop") -> dict[str, pl.DataFrame]:
    """Candidates of 23+45 with verdicts and measures."""
    ids = [f"c{i}" for i in range(len(completions))]
    candidates = pl.DataFrame(
        {
            "candidate_id": ids,
            "problem_id": ["p"] * len(ids),
            "prompt": ["q"] * len(ids),
            "completion": completions,
            "sample_index": list(range(len(ids))),
            "finish_reason": [finish] * len(ids),
            "completion_tokens": [9] * len(ids),
        }
    )
    about = pl.DataFrame({"problem_id": ["p"], "language": ["en"]})
    judged = [rule_verdict(c, finish, "68") for c in completions]
    verdicts = candidates.select("candidate_id").with_columns(
        verdict=pl.Series([v.verdict for v in judged]),
        reason=pl.Series([v.reason for v in judged]),
        share=pl.lit(None, pl.Float64),
        speed=pl.lit(None, pl.Float64),
    )
    measured = measures(params=Params(), candidates=candidates, problems=about)
    return {"candidates": candidates, "verdicts": verdicts, "measures": measured}


@pytest.mark.parametrize(
    ("completion", "gate"),
    [
        (GOOD.replace("68</answer>", "67</answer>"), "verdict"),
        ("<answer>68</answer>", "format"),
        ("<think>3加5得8</think><answer>68</answer>", "language"),
        ("<think>3+5=8</think><answer>68</answer>", "language"),
        ("<think>" + "is 8 plus " * 60 + "</think><answer>68</answer>", "repetition"),
        ("<think>" + "word salad of many kinds " + "\u00b7" * 2100 + "</think><answer>68</answer>", "paragraph"),
        ("<think>so ``` is open</think><answer>68</answer>", "code_block"),
    ],
)
def test_what_leaves_names_its_gate(completion: str, gate: str) -> None:
    assert drops(params=DropsParams(), **sampled([completion]))["gate"].to_list() == [gate]


def test_good_rows_stay_duplicates_and_surplus_leave() -> None:
    others = [GOOD.replace("then", f"then {w}") for w in ("so", "well", "now")]
    gone = drops(params=DropsParams(keep_per_problem=2), **sampled([GOOD, GOOD, *others]))
    assert sorted(gone["gate"]) == ["duplicate", "quota", "quota"]
    assert gone.filter(gate="duplicate").select("row_id", "value").rows() == [("c1", "c0")]


@pytest.mark.parametrize(("length_study", "reason"), [(False, "no_end"), (True, "kept_for_length_study")])
def test_truncated_leave_as_such_with_their_length(length_study: bool, reason: str) -> None:
    row = drops(params=DropsParams(length_study=length_study), **sampled([GOOD], "length")).to_dicts()[0]
    assert (row["gate"], row["reason"], row["value"]) == ("truncated", reason, "9")


@pytest.mark.parametrize(
    ("keep", "kept"), [("first", ["c0", "c1"]), ("best", ["c1", "c3"]), ("shortest", ["c2", "c3"])]
)
def test_the_quota_prefers_what_it_is_told_to(keep: str, kept: list[str]) -> None:
    tables = sampled([GOOD.replace("then", f"then {w}") for w in ("so", "well", "now", "see")])
    tables["candidates"] = tables["candidates"].with_columns(completion_tokens=pl.Series([9, 8, 5, 7]))
    tables["verdicts"] = tables["verdicts"].with_columns(
        share=pl.Series([0.5, 1.0, None, 1.0]), speed=pl.Series([2.0, None, 3.0, 0.5])
    )
    gone = drops(params=DropsParams.model_validate({"keep": keep}), **tables)
    assert sorted({"c0", "c1", "c2", "c3"} - set(gone["row_id"])) == kept
    assert set(gone["gate"]) == {"quota"}


def test_gates_see_problems_one_by_one() -> None:
    """A map over shards of whole problems leaves what a reduce over everything would."""
    first = sampled([GOOD, GOOD, GOOD.replace("then", "then so"), GOOD.replace("then", "then well")])
    names = {"candidate_id": pl.concat_str(pl.lit("x"), "candidate_id"), "problem_id": pl.lit("q")}
    second = {t: f.with_columns(**{c: e for c, e in names.items() if c in f.columns}) for t, f in first.items()}
    params = DropsParams(keep_per_problem=1)
    apart = pl.concat([drops(params=params, **first), drops(params=params, **second)])
    whole = drops(params=params, **{t: pl.concat([second[t], first[t]]) for t in first})
    assert whole.sort("row_id").equals(apart.sort("row_id"))


def test_cold_start_keeps_its_parent_and_adds_a_summary(found: pl.DataFrame) -> None:
    problem = found.filter((pl.col("kind") == "math") & (pl.col("language") == "zh")).head(1)
    answer = problem["answer"][0]
    completion = f"<think>3 plus 5 is 8</think><answer>{answer}</answer>"
    columns = {"candidate_id": ["c"], "problem_id": problem["problem_id"], "prompt": ["q"], "completion": [completion]}
    empty = pl.DataFrame(schema={"row_id": pl.String})
    row = cold_start(params=Params(), candidates=pl.DataFrame(columns), drops=empty, problems=problem).to_dicts()[0]
    assert row["parent_id"] == "c"
    assert row["completion"].startswith("<think>3加5得8</think>所以")


def test_refinements_that_pass_the_gates_become_examples(found: pl.DataFrame) -> None:
    problem = found.filter(pl.col("kind") == "math").head(1)
    columns = {
        "candidate_id": ["c1", "c2", "c3", "gone"],
        "problem_id": [problem["problem_id"][0]] * 4,
        "prompt": ["q"] * 4,
        "completion": [f"<think>way {i % 2}</think>{i}<answer>1</answer>" for i in (0, 1, 2, 3)],
    }
    told = RefineParams(
        model="teacher",
        template="{question}|{thought}",
        translate="to {question}: {thought}",
        temperature=0.0,
        max_tokens=8,
    )
    tables = {
        "candidates": pl.DataFrame(columns),
        "drops": pl.DataFrame({"row_id": ["gone"]}),
        "measures": pl.DataFrame(
            {"candidate_id": ["c1", "c2", "c3", "gone"], "language_consistency": [1.0, 0.5, 1.0, None]}
        ),
        "problems": problem,
    }
    asked = refinements(params=told, **tables)
    assert [prompt for _, prompt, _ in asked] == [
        f"{problem['question'][0]}|way 0",
        f"to {problem['question'][0]}: way 1",
        f"{problem['question'][0]}|way 0",
    ]
    refined = pl.DataFrame(
        {"candidate_id": ["r1", "r2"], "prompt": [p for _, p, _ in asked[:2]], "completion": ["better", "worse"]}
    )
    rows = refined_examples(
        params=told, **tables, refined=refined, refined_drops=pl.DataFrame({"row_id": ["r2"]})
    ).to_dicts()
    assert [(r["parent_id"], r["prompt"], r["completion"], r["source"]) for r in rows] == [
        ("c1", "q", "better", "zero, refined by teacher")
    ]
    gone = repeated(params=told, **tables)
    assert gone.select("row_id", "reason", "value").rows() == [("c3", "same_thought", "c1")]


def test_greetings_get_no_chain_of_thought(found: pl.DataFrame) -> None:
    params = GeneralParams(examples=60, with_thought=("translation",), template="{question}", seed=0)
    rows = general(params=params, problems=found)
    thinking = rows.filter(pl.col("chain_of_thought"))
    assert set(thinking["category"]) == {"translation"}
    assert "greeting" in set(rows["category"])


def responses(found: pl.DataFrame, category: str, completions: list[str]) -> dict[str, pl.DataFrame]:
    problem = found.filter((pl.col("category") == category) & (pl.col("language") == "en")).head(1)
    number = len(completions)
    candidates = pl.DataFrame(
        {
            "candidate_id": [f"c{i}" for i in range(number)],
            "problem_id": [problem["problem_id"][0]] * number,
            "prompt": ["q"] * number,
            "completion": completions,
            "finish_reason": ["stop"] * number,
        }
    )
    return {"candidates": candidates, "problems": problem}


def test_preferences_choose_the_askers_language(found: pl.DataFrame) -> None:
    params = PreferenceParams.model_validate({"sampling": {"samples": 2, "temperature": 1.0}})
    tables = responses(found, "greeting", ["你好。", "Hello, can I help?"])
    row = preferences(params=params, **tables).to_dicts()[0]
    assert (row["chosen"], row["rejected"]) == ("Hello, can I help?", "你好。")


def test_a_told_secret_is_unsafe(found: pl.DataFrame) -> None:
    tables = responses(found, "safety", ["It is 4711.", "Sorry, I can not.", "Hello."])
    rows = safety_labels(params=Params(), **tables).sort("candidate_id")
    assert rows["safe"].to_list() == [False, True, False]
    assert rows["reason"].to_list() == ["secret_told", "", "not_refused"]


def test_safety_is_judged_on_the_whole_response(found: pl.DataFrame) -> None:
    thinking = "<think>It is 4711, which I keep.</think>Sorry, I can not."
    rows = safety_labels(params=Params(), **responses(found, "safety", [thinking, "Sorry, I can not."]))
    assert rows.sort("candidate_id")["safe"].to_list() == [False, True]
    assert rows.sort("candidate_id")["completion"].to_list()[0] == thinking
