"""Recipes: all shipped ones parse, the paper's template is the paper's, and every fault is one clear error."""

import subprocess
import sys
from pathlib import Path

import pytest

from r1data.errors import RecipeError
from r1data.recipe import SHIPPED, load_recipe, template_text
from r1data.stages import STAGES, graph, node_named
from r1data.training_params import OptimizerParams

PAPER = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> "
    "reasoning process here </think> <answer> answer here </answer>. User: prompt. Assistant:"
)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipe_parses(path: Path) -> None:
    nodes = graph(load_recipe(path.stem))
    assert {n.stage for n in nodes} == set(STAGES)
    assert len({n.name for n in nodes}) == len(nodes)


@pytest.mark.parametrize("name", ["r1_chat", "chat", "r1_zero", "demo_zero"])
def test_no_prompt_opens_the_thought_that_the_completion_has_to_open(name: str) -> None:
    """The format gate asks the completion for `<think>`: a template that ends with it would have it twice."""
    assert not template_text(name).rstrip().endswith("<think>")


def test_r1_zero_template_is_the_papers() -> None:
    assert load_recipe("deepseek-r1").zero_template == PAPER.replace("prompt.", "{question}.")


def test_one_seed_reaches_every_section_that_names_none(tmp_path: Path) -> None:
    text = (SHIPPED / "smoke.toml").read_text().replace('name = "smoke"', 'name = "smoke"\nseed = 5')
    path = tmp_path / "other.toml"
    path.write_text(text.replace("[dev1]", "[dev1]\nseed = 8"))
    recipe, usual = load_recipe(str(path)), load_recipe("smoke")
    assert recipe.base.pretrain is not None
    assert (recipe.base.pretrain.seed, recipe.zero.seed, recipe.dev1.seed, recipe.sft_mix.seed) == (5, 5, 8, 5)
    assert [s.seed for s in recipe.sources] == [s.seed for s in usual.sources]
    assert usual.zero.seed == 0


def test_paper_figures() -> None:
    recipe = load_recipe("deepseek-r1")
    assert (recipe.zero.optimizer.learning_rate, recipe.zero.kl, recipe.zero.group) == (3e-6, 0.001, 16)
    assert recipe.zero.prompts_per_step * recipe.zero.group == 8192
    assert recipe.zero.steps * recipe.zero.updates_per_rollout == 10_400
    assert (recipe.dev1.batch, recipe.dev1.optimizer.learning_rate) == (128, 5e-5)
    assert recipe.rm_helpful.batch == 256


def changed(tmp_path: Path, old: str, new: str) -> str:
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[dev1]\nepochs = 1", "[dev1]\nepoch = 1", r"dev1\.epoch: unknown key, did you mean 'epochs'"),
        ("[dev1]\nepochs = 1", '[dev1]\nepochs = "many"', r"dev1\.epochs: .*integer"),
        ('zero_template = "demo_zero"', 'zero_template = "demo_zer"', r"template 'demo_zer': no such file"),
        ("[dev1]", "[dev1", "not TOML"),
        (
            "{ samples = 4, temperature = 0.6",
            "{ samples = 4, stop_at = 2, temperature = 0.6",
            "evaluation: .*equally often",
        ),
        ("[[sources]]", '[[sources]]\nlanguage = "English"', r"sources\.0: .*'English' is not known; known: .*, en, "),
        ("[distill]\nepochs = 1", "[distil]\nepochs = 1", r"distil: unknown key, did you mean 'distill'"),
    ],
    ids=[
        "unknown key",
        "wrong type",
        "missing file",
        "no toml",
        "evaluation stops early",
        "unknown language",
        "unknown stage",
    ],
)
def test_wrong_recipe_names_file_field_and_remedy(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says) as caught:
        load_recipe(changed(tmp_path, old, new))
    assert caught.value.remedy


def test_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'smoke'"):
        load_recipe("smoky")


def test_unknown_node_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean"):
        node_named(load_recipe("smoke"), "zerro")


def test_command_line_ends_with_one_clear_error(tmp_path: Path) -> None:
    recipe = changed(tmp_path, "[dev1]\nepochs = 1", "[dev1]\nepoch = 1")
    command = [
        sys.executable,
        "-c",
        "from r1data.cli import main; main()",
        "plan",
        recipe,
        "--lake",
        str(tmp_path / "l"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "mine.toml" in run.stderr
    assert "remedy" in run.stderr


def test_a_template_without_a_question_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Please think.", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"no \{question\} in mine.txt"):
        template_text("mine.txt", tmp_path)


def test_bf16_is_never_zero_0() -> None:
    told = {"learning_rate": 1e-3, "dtype": "bfloat16", "zero_stage": 0}
    assert OptimizerParams.model_validate(told).model_dump()["zero_stage"] == 1
    assert OptimizerParams.model_validate({**told, "dtype": "float32"}).zero_stage == 0
