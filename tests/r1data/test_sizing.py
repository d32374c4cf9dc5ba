"""Sizes against published numbers and those of trainings; a recipe that cannot fit is refused with numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from r1data.errors import ModelError, RecipeError
from r1data.fitting import fitting, refuse
from r1data.recipe import Recipe, load_recipe
from r1data.shapes import PUBLISHED, shape_of
from r1data.sizing import GB, HF_TOKENS, Load, hf_engine, longest_context, memory, ranks_needed, remedies, seconds
from r1data.spending import GpuParams
from r1data.stages import graph

SEVEN = shape_of(PUBLISHED["Qwen2.5-7B"])
LOAD = Load(SEVEN, 8, 3, "bfloat16", 8192)


@pytest.mark.parametrize(
    ("name", "billions"),
    [  # model cards; DeepSeek-V3's report: 671B
        ("Qwen2.5-0.5B", 0.494),
        ("Qwen2.5-1.5B", 1.5437),
        ("Qwen2.5-7B", 7.616),
        ("Qwen2.5-32B", 32.76),
        ("Llama-3.1-8B", 8.03),
        ("Llama-3.3-70B-Instruct", 70.55),
        ("DeepSeek-V3-Base", 671.03),
    ],
)
def test_parameters_are_the_published_ones(name: str, billions: float) -> None:
    assert shape_of(PUBLISHED[name]).parameters / 1e9 == pytest.approx(billions, rel=2e-3)


def test_a_mixture_of_experts_uses_few_of_its_parameters() -> None:
    assert shape_of(PUBLISHED["DeepSeek-V3-Base"]).active / 1e9 == pytest.approx(37, rel=0.02)


def test_states_of_mixed_precision_are_16_bytes_a_parameter() -> None:
    """ZeRO, section 3.1 and figure 1: 7.5B parameters on 64 GPUs take 120, 31.4, 16.6 and 1.9 GB."""
    shape = replace(SEVEN, parameters=7_500_000_000)
    found = [memory(Load(shape, 64, stage, "bfloat16", 0)) for stage in range(4)]
    states = [(m.weights + m.gradients + m.optimizer) / GB for m in found]
    assert states == pytest.approx([120, 31.4, 16.6, 1.9], rel=0.02)


def test_memory_grows_and_shrinks_as_it_must() -> None:
    base = memory(LOAD).total
    assert memory(replace(LOAD, context=16384)).activations == 2 * memory(LOAD).activations
    assert memory(replace(LOAD, checkpointing=True)).activations < 0.1 * memory(LOAD).activations
    assert memory(replace(LOAD, chunk=1024)).logits < 0.4 * memory(LOAD).logits
    assert memory(replace(LOAD, chunk=1024, context=65536)).logits == memory(replace(LOAD, chunk=1024)).logits
    assert memory(replace(LOAD, ranks=16)).total < base < memory(replace(LOAD, stage=2)).total
    sharded, whole = memory(replace(LOAD, copies=1)), memory(replace(LOAD, copies=1, stage=2))
    assert sharded.total == base + 2 * SEVEN.parameters / 8 + 2 * 1e9  # what it gathers at a time
    assert whole.reference == 2 * SEVEN.parameters


def test_all_logits_of_32k_positions() -> None:
    """19.9 GB in fp32 alone; with log-softmax and gradients four times as much."""
    load = Load(SEVEN, 1, 0, "float32", 32768)
    assert memory(load).logits == 4 * 4 * 32768 * 152_064


def test_what_fits_is_found() -> None:
    tight = replace(LOAD, checkpointing=True, chunk=1024)
    needed = ranks_needed(tight, 80 * GB)
    assert needed is not None
    assert memory(replace(tight, ranks=needed)).total <= 80 * GB < memory(replace(tight, ranks=needed // 2)).total
    longest = longest_context(tight, 80 * GB)
    assert (
        memory(replace(tight, context=longest)).total <= 80 * GB < memory(replace(tight, context=longest + 1024)).total
    )
    assert ranks_needed(replace(tight, copies=100), 80 * GB) is None


def test_remedies_fit() -> None:
    found = " or ".join(remedies(LOAD, 80 * GB))
    assert memory(LOAD).total > 80 * GB > memory(replace(LOAD, checkpointing=True)).total
    assert "gradient_checkpointing = true" in found
    assert "a context of" in found
    assert "zero_stage" not in found
    assert "together" not in found
    assert remedies(replace(LOAD, copies=100), 80 * GB)[0].startswith("nothing here: 4,096 GPUs")


def test_hours_are_flops_over_speed() -> None:
    """6 floating-point operations a parameter and token (Kaplan et al.), and those of attention."""
    short = replace(LOAD, context=0)
    assert seconds(short, 1e9, 0, 400) == pytest.approx(6 * SEVEN.active * 1e9 / (8 * 400e12))
    assert seconds(replace(short, checkpointing=True), 1e9, 0, 400) == pytest.approx(
        4 / 3 * seconds(short, 1e9, 0, 400)
    )
    assert seconds(LOAD, 1e9, 0, 400) > seconds(short, 1e9, 0, 400)


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(ModelError, match="mamba"):
        shape_of({"model_type": "mamba"})
    with pytest.raises(ModelError, match="hidden_size"):
        shape_of({"model_type": "qwen2"})


def with_gpu(name: str, gpu: GpuParams) -> Recipe:
    recipe = load_recipe(name)
    return recipe.model_copy(update={"cluster": recipe.cluster.model_copy(update={"gpu": gpu})})


@pytest.mark.parametrize("name", ["demo", "smoke", "qwen-7b"])
def test_shipped_recipes_fit(name: str) -> None:
    recipe = load_recipe(name)
    lines = fitting(recipe, graph(recipe))
    assert {"zero", "dev1", "dev2", "dev3", "r1", "distill", "student_rl", "rm_helpful", "rm_safe"} <= {
        line.node for line in lines
    }
    refuse(recipe, lines)


def test_the_papers_model_does_not_fit_one_node() -> None:
    recipe = load_recipe("deepseek-r1")
    with pytest.raises(RecipeError, match=r"zero: 2,\d\d\d\.\d GB on each with ZeRO-3") as refused:
        refuse(recipe, fitting(recipe, graph(recipe)))
    assert "reference 182.8" in str(refused.value)
    assert "\n  distill" not in str(refused.value)


@pytest.mark.parametrize(("memory_gb", "fits"), [(141, True), (80, False)])
def test_the_papers_model_on_the_papers_number_of_gpus(memory_gb: float, fits: bool) -> None:
    """64 x 8: its reinforcement learning fits 141 GB a GPU; 80 GB are too few for what layers keep of 33,280 tokens."""
    recipe = load_recipe("deepseek-r1")
    engine = recipe.cluster.engine.model_copy(update={"urls": ("http://serve:8000",)})
    told = {"ranks": 512, "rollouts": "server", "engine": engine, "gpu": GpuParams(memory_gb=memory_gb)}
    recipe = recipe.model_copy(update={"cluster": recipe.cluster.model_copy(update=told)})
    lines = fitting(recipe, graph(recipe))
    if fits:
        refuse(recipe, lines)
        assert next(line for line in lines if line.node == "zero").needed == 512
    else:
        with pytest.raises(RecipeError, match=r"zero: 126\.1 GB .*activations 62\.3, reference 17\.7"):
            refuse(recipe, lines)


def test_smaller_gpus_are_refused_and_what_fits_is_said() -> None:
    recipe = with_gpu("qwen-7b", GpuParams(memory_gb=45))
    with pytest.raises(RecipeError, match=r"zero: .*would fit: vLLM on other GPUs"):
        refuse(recipe, fitting(recipe, graph(recipe)))
    refuse(with_gpu("qwen-7b", GpuParams()), fitting(recipe, graph(recipe)))


def test_rollouts_by_transformers_take_a_model_their_cache_and_logits() -> None:
    recipe = with_gpu("qwen-7b", GpuParams(memory_gb=80))
    hf = recipe.cluster.model_copy(update={"rollouts": "hf"})
    lines = fitting(recipe.model_copy(update={"cluster": hf}), graph(recipe))
    load = next(line.load for line in lines if line.node == "zero")
    assert load is not None
    size = shape_of(PUBLISHED["Qwen2.5-7B"])
    assert size.cached == 2 * 4 * 128, "keys and values of 4 groups of 128"
    most = HF_TOKENS * 2 * (29 * size.cached + size.attended)
    assert 2 * size.parameters < load.engine < 2 * size.parameters + most + 64 * size.vocabulary * 42
    assert hf_engine(load, 1) < hf_engine(load, 8)
    assert hf_engine(replace(load, context=1 << 20), 64) > hf_engine(replace(load, context=1 << 18), 64)
    assert all(line.load is None or line.load.engine == 0 for line in lines if line.node.startswith("dev1"))


def test_a_folder_is_sized_by_its_own_config(tmp_path: Path) -> None:
    recipe = load_recipe("qwen-7b")
    (tmp_path / "config.json").write_text(json.dumps({**PUBLISHED["Qwen2.5-0.5B"]}), encoding="utf-8")
    base = recipe.base.model_copy(update={"path": str(tmp_path)})
    lines = fitting(recipe.model_copy(update={"base": base}), graph(recipe))
    zero = next(line for line in lines if line.node == "zero")
    assert zero.load is not None
    assert zero.load.shape.parameters == shape_of(PUBLISHED["Qwen2.5-0.5B"]).parameters
    nowhere = recipe.base.model_copy(update={"path": str(tmp_path / "none")})
    lines = fitting(recipe.model_copy(update={"base": nowhere}), graph(recipe))
    assert "no config.json" in next(line.note for line in lines if line.node == "zero")
    refuse(recipe, [line for line in lines if line.load is None])
