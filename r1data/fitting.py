"""Whether a recipe's trainings fit the GPUs of its [cluster.gpu], and what they need: a line a training node.

Contexts are the longest that the recipe allows, tokens the most that it can train on: both are upper bounds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from r1data.cluster_params import ClusterParams
from r1data.errors import ModelError, RecipeError
from r1data.manifest import Manifest
from r1data.params import Params
from r1data.recipe import ModelSource, Recipe
from r1data.shapes import PUBLISHED, Shape, shape_of
from r1data.sizing import GB, Load, Memory, hf_engine, longest_context, memory, ranks_needed, remedies, seconds
from r1data.step import Node
from r1data.training_params import (
    ArchitectureParams,
    GrpoParams,
    OptimizerParams,
    PretrainParams,
    RewardModelParams,
    SftParams,
)

PROMPT = 512  # tokens of a prompt of reinforcement learning, where the recipe bounds the answer alone
DEMO_VOCABULARY = 512
IN_PROCESS = 0.3  # of a GPU's memory, as training.engine asks
SERVER = 0.92  # vLLM's own default
ANOTHER = "--gpu-memory-utilization"


@dataclass(frozen=True)
class FitLine:
    """A training: its memory by ZeRO stage, GPUs needed, longest context, hours of computing; None where unknown."""

    node: str
    load: Load | None
    stages: tuple[Memory, ...] = ()
    needed: int | None = None
    longest: int | None = None
    hours: float | None = None
    note: str = ""

    @property
    def own(self) -> Memory:
        """At the recipe's stage."""
        assert self.load is not None, "asked of a known shape only"
        return self.stages[self.load.stage]


def fitting(recipe: Recipe, nodes: Iterable[Node], done: Mapping[str, Manifest] | None = None) -> list[FitLine]:
    """A line for every training among the nodes; `done` are those whose rows are known."""
    return [_line(recipe, n, done or {}) for n in nodes if hasattr(n.params, "optimizer")]


def refuse(recipe: Recipe, lines: Sequence[FitLine]) -> None:
    """`RecipeError` that names every training that does not fit, where the recipe says what a GPU has."""
    most = (recipe.cluster.gpu.memory_gb or 0) * GB
    found = [line for line in lines if most and line.load is not None and line.own.total > most]
    if found:
        told = [f"{line.node}: {_told(line)}; would fit: {_changes(line, most)}" for line in found]
        raise RecipeError(
            f"{len(found)} training(s) do not fit {recipe.cluster.ranks} GPU(s) of {most / GB:,.0f} GB:\n  "
            + "\n  ".join(told),
            "change the recipe as said, or tell [cluster.gpu] memory_gb if the GPUs have more",
        )


def _told(line: FitLine) -> str:
    load = line.load
    assert load is not None, "asked of what has a size"
    tokens = f"{load.rows} x {load.context:,} tokens"
    return f"{line.own.total / GB:,.1f} GB on each with ZeRO-{load.stage} and {tokens} ({line.own.told()})"


def _changes(line: FitLine, most: float) -> str:
    assert line.load is not None, "asked of what has a size"
    alone = memory(replace(line.load, engine=0.0)).total
    moved = f"vLLM on other GPUs by [cluster.engine] urls ({alone / GB:.1f} GB)"
    return ", or ".join([moved] * (line.load.engine > 0 and alone <= most) + remedies(line.load, most))


def _line(recipe: Recipe, node: Node, done: Mapping[str, Manifest]) -> FitLine:
    student = node.stage in ("distill", "student_rl") or node.name == "student_base"
    try:
        shape = _shape(recipe.student if student else recipe.base)
    except ModelError as e:
        return FitLine(node.name, None, note=str(e.args[0]))
    load = _load(recipe.cluster, node.params, shape)
    gpu = recipe.cluster.gpu
    most = (gpu.memory_gb or 0) * GB
    tokens, forwards = _work(recipe, node, done)
    return FitLine(
        node=node.name,
        load=load,
        stages=tuple(memory(replace(load, stage=stage)) for stage in range(4)),
        needed=ranks_needed(load, most) if most else None,
        longest=longest_context(load, most) if most else None,
        hours=seconds(load, tokens, forwards, gpu.tflops) / 3600 if tokens and gpu.tflops else None,
        note="" if tokens else "hours once its rows are there",
    )


def _shape(source: ModelSource) -> Shape:
    """Of the folder's config, of what is published under its name, or of the demo's own architecture."""
    if source.pretrain is not None:
        return shape_of(_demo(source.pretrain.architecture))
    folder = Path(source.path or "")
    try:
        return shape_of(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError) as e:
        if folder.name in PUBLISHED:
            return shape_of(PUBLISHED[folder.name])
        raise ModelError(f"{folder}: no config.json to size it by, and no published shape of that name") from e


def _demo(architecture: ArchitectureParams) -> dict[str, object]:
    return {
        "model_type": "qwen2",
        "hidden_size": architecture.hidden_size,
        "intermediate_size": architecture.intermediate_size,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "num_key_value_heads": architecture.kv_heads,
        "vocab_size": DEMO_VOCABULARY,
        "tie_word_embeddings": True,
        "max_position_embeddings": architecture.max_positions,
    }


def _load(cluster: ClusterParams, params: Params, shape: Shape) -> Load:
    optimizer: OptimizerParams = params.optimizer  # type: ignore[attr-defined]
    told = Load(
        shape=shape,
        ranks=cluster.ranks,
        stage=optimizer.zero_stage,
        dtype=optimizer.dtype,
        context=0,
        checkpointing=optimizer.gradient_checkpointing,
        chunk=optimizer.loss_chunk,
    )
    if isinstance(params, GrpoParams):
        context = min(params.max_tokens + PROMPT, shape.positions or params.max_tokens + PROMPT)
        rows = min(optimizer.micro_batch, params.prompts_per_step * params.group // params.updates_per_rollout)
        told = replace(told, context=context, rows=rows, copies=int(params.kl > 0))
        return replace(told, engine=_engine(cluster, told, -(-params.prompts_per_step // cluster.ranks) * params.group))
    if isinstance(params, SftParams) and params.pack_tokens:
        return replace(told, context=params.pack_tokens)
    assert isinstance(params, SftParams | PretrainParams | RewardModelParams), "what trains by batches"
    rows = min(optimizer.micro_batch, -(-params.batch // cluster.ranks))
    if isinstance(params, RewardModelParams):
        pair = 2 if params.target == "helpful" else 1
        return replace(told, context=params.max_length, rows=pair * rows, head=False)
    return replace(told, context=params.max_length, rows=rows)


def _engine(cluster: ClusterParams, load: Load, samples: int) -> float:
    """Bytes that rollouts take of each training GPU: in the process, or a server started on the same machine."""
    memory_of_gpu = (cluster.gpu.memory_gb or 0) * GB
    if cluster.rollouts == "hf":
        return hf_engine(load, samples)
    if cluster.rollouts == "in_process":
        return IN_PROCESS * memory_of_gpu
    if cluster.engine.urls:
        return 0.0
    told = cluster.engine.arguments
    asked = [float(b) for a, b in pairwise(told) if a == ANOTHER]
    return (asked[0] if asked else SERVER) * memory_of_gpu


def _work(recipe: Recipe, node: Node, done: Mapping[str, Manifest]) -> tuple[float, float]:
    """(tokens that are trained on at most, forward passes beside their training); no tokens where rows are unknown."""
    p = node.params
    if isinstance(p, GrpoParams):
        samples = p.steps * p.prompts_per_step * p.group
        return samples * (p.max_tokens + PROMPT), int(p.kl > 0) + 1 - 1 / p.updates_per_rollout
    if isinstance(p, PretrainParams):
        return p.steps * p.batch * p.max_length, 0
    assert isinstance(p, SftParams | RewardModelParams), "what trains by epochs"
    role = "examples" if isinstance(p, SftParams) else "data"
    rows = done[node.inputs[role]].rows if node.inputs[role] in done else _rows(recipe, node.inputs[role])
    pair = 2 if isinstance(p, RewardModelParams) and p.target == "helpful" else 1
    return float(rows * p.epochs * p.max_length * pair), 0


def _rows(recipe: Recipe, name: str) -> int:
    """What the recipe says of a set that is not there yet; 0 where it does not."""
    mixture = recipe.sft_mix.mixture
    if name == "sft_mix" and mixture is not None:
        return sum(part.rows or 0 for part in (mixture.reasoning, mixture.general))
    return recipe.preferences.max_pairs if name.startswith("preferences") else 0
