"""Examples of known outcome in a recipe, and that every numeric threshold is known to what compares it."""

from pathlib import Path

import pytest

from r1data.errors import CheckFailed, RecipeError
from r1data.gate_params import GATES, OF_ONE_TEXT, PASS, GateExample, GateParams, GateSection
from r1data.recipe import SHIPPED, load_recipe
from r1data.stages import graph
from r1data.stages.cold_start import check_refinement
from r1data.steps.thresholds import THRESHOLDS, check_gates
from schemas import TABLES

GOOD = "<think>3 plus 5 is 8, then 1 plus 4 is 5</think>So 13+45=58.<answer>58</answer>"
EXAMPLE = '\n[[gate_examples]]\nstages = ["sft_mix"]\ncompletion = "{}"\nexpect = "{}"\n'


def mine(tmp_path: Path, *more: str) -> str:
    path = tmp_path / "mine.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    path.write_text(text + "".join(more), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["demo", "qwen-7b", "deepseek-r1"])
def test_shipped_examples_come_out_as_expected(name: str) -> None:
    recipe = load_recipe(name)
    assert check_gates(recipe) == len(recipe.gate_examples)
    for stage in ("cold_start", "sft_mix"):
        assert {e.expect for e in recipe.gate_examples if stage in e.stages} == {PASS, *OF_ONE_TEXT}


@pytest.mark.parametrize(
    ("completion", "expect", "says"),
    [
        (GOOD, "repetition", "expected repetition, passes every gate; repetition is 0.0"),
        ("<think>" + "3 plus 5 " * 9 + "</think><answer>8</answer>", "pass", "misses repetition (above 0."),
        (GOOD.replace("then", "然后再加上"), "pass", "language_consistency is 0."),
        ("no thought", "pass", "misses format (not_the_pattern)"),
    ],
    ids=["passes", "repeats", "mixes", "format"],
)
def test_a_surprise_names_value_and_threshold(tmp_path: Path, completion: str, expect: str, says: str) -> None:
    with pytest.raises(CheckFailed) as found:
        check_gates(load_recipe(mine(tmp_path, EXAMPLE.format(completion, expect))))
    assert "gate_examples[0]" in str(found.value)
    assert "in sft_mix: " in str(found.value)
    assert says in str(found.value)


def test_what_checks_gates_changes_no_key(tmp_path: Path) -> None:
    bands = "\n[sft_mix.gate.bands]\nverdict = [0.1, 0.9]\n"
    told = load_recipe(mine(tmp_path, EXAMPLE.format(GOOD, "pass"), bands))
    usual = load_recipe("smoke")
    assert told.sft_mix.gate != usual.sft_mix.gate
    assert told.gate_examples
    assert [n.key({}) for n in graph(told)] == [n.key({}) for n in graph(usual)]


def test_an_example_is_for_the_gates_of_its_stages(tmp_path: Path) -> None:
    mixed = GOOD.replace("then", "然后再加上")
    open_gate = "\n[sft_mix.gate]\nlanguage_consistency = 0.1\n"
    assert check_gates(load_recipe(mine(tmp_path, EXAMPLE.format(mixed, "pass"), open_gate))) == 1
    with pytest.raises(CheckFailed, match="in cold_start: expected pass, misses language"):
        check_gates(load_recipe(mine(tmp_path, EXAMPLE.format(mixed, "pass").replace("sft_mix", "cold_start"))))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (EXAMPLE.format(GOOD, "repetitive"), "expect = 'repetitive': one of pass, code_block"),
        ("\n[sft_mix.gate.bands]\nverdicts = [0, 1]\n", "bands.verdicts: no such gate"),
        ("\n[sft_mix.gate.bands]\nverdict = [0.9, 0.1]\n", "shares, the lower one first"),
    ],
    ids=["gate of an example", "gate of a band", "band"],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(RecipeError, match=r"gate_examples|sft_mix") as found:
        load_recipe(mine(tmp_path, more))
    assert says in str(found.value)


def test_every_numeric_threshold_is_compared_with_a_measure() -> None:
    numeric = {n for n, f in GateParams.model_fields.items() if f.annotation in (int, float, float | None)}
    assert {t.parameter for t in THRESHOLDS} == numeric - {"keep_per_problem"}
    assert {t.measure for t in THRESHOLDS} <= set(TABLES["measures"].schema.names)
    assert {t.gate for t in THRESHOLDS} <= set(GATES)
    assert set(GateSection().thresholds.model_dump()) == set(GateParams.model_fields)


def test_cold_start_examples_meet_the_gate_of_what_a_teacher_refined() -> None:
    """Chinese thoughts to an English question are of one language, but a teacher is told to translate them."""
    recipe = load_recipe("deepseek-r1")
    chinese = GateExample(
        stages=("cold_start",), completion="<think>三加五等于八，然后一加四等于五。</think><answer>58</answer>"
    )
    with pytest.raises(CheckFailed, match="misses language"):
        check_gates(recipe.model_copy(update={"gate_examples": (chinese,)}))


def test_a_band_that_nothing_asks_is_refused(tmp_path: Path) -> None:
    bands = "\n[sft_mix.gate.bands]\nnear_duplicate = [0, 0.1]\n"
    with pytest.raises(RecipeError, match=r"no \[sft_mix.dedup\]"):
        check_gates(load_recipe(mine(tmp_path, bands)))


@pytest.mark.parametrize(("name", "fault"), [("qwen-7b", False), ("demo", False), ("mine", True)])
def test_who_refines_is_asked_before_a_run(tmp_path: Path, name: str, fault: bool) -> None:
    source = '\n[[sources]]\nname = "other"\nurl = "other.jsonl"\n'
    recipe = load_recipe(mine(tmp_path, source) if fault else name)
    if fault:
        with pytest.raises(RecipeError, match="not source 'other'"):
            check_refinement(recipe)
    else:
        check_refinement(recipe)


@pytest.mark.parametrize("wrong", ["keep_per_problem = 0", "repetition = nan", "language_consistency = 1.5"])
def test_thresholds_that_no_row_could_meet_are_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(RecipeError, match=wrong.split(" ", maxsplit=1)[0]):
        load_recipe(mine(tmp_path, f"\n[sft_mix.gate]\n{wrong}\n"))
