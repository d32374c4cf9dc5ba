"""How much memory a training takes on each GPU, and how long it computes: arithmetic on a `Shape`, nothing is run.

Sources: the states by ZeRO stage are Rajbhandari et al. 2020 (ZeRO, section 3.1: 2 + 2 + 12 bytes a parameter for Adam
in mixed precision); what a layer keeps is counted as by Korthikanti et al. 2022 (Reducing Activation Recomputation, 4),
for the layers of transformers and attention that keeps no matrix of positions; buckets are DeepSpeed's defaults.
`python -m benchmarks.memory` compares with what trainings here really took.
"""

from dataclasses import dataclass, replace

from r1data.shapes import Shape

GB = 1e9
BUCKET = 500_000_000  # DeepSpeed's reduce_bucket_size, in values
LIVE = 1_000_000_000  # its stage3_max_live_parameters
HF_ROWS, HF_TOKENS = 64, 131_072  # most in a batch of rollouts by transformers; one sample is always taken
RUNTIME = 2e9  # CUDA's context, NCCL's buffers, what the allocator cannot use; not on CPU
MOST_RANKS = 4096
CHUNK = 1024  # proposed where logits are the matter
BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Load:
    """A training as its memory sees it: `rows` sequences of `context` tokens in a micro-batch, on `ranks` GPUs.

    `copies`: models beside it that are not trained (the reference), sharded like its weights.
    `engine`: bytes that rollouts take of the same GPU. `head`: logits of every position are needed, else (a reward
    model) none.
    """

    shape: Shape
    ranks: int
    stage: int
    dtype: str
    context: int
    rows: int = 1
    checkpointing: bool = False
    chunk: int = 0
    copies: int = 0
    engine: float = 0.0
    head: bool = True
    runtime: float = RUNTIME


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU, at the end of the forward pass or, if that is more, in the optimizer's step."""

    weights: float
    gradients: float
    optimizer: float
    buffers: float
    activations: float
    logits: float
    step: float
    reference: float
    engine: float
    runtime: float

    @property
    def total(self) -> float:
        """At the peak: activations and logits are gone when the optimizer steps."""
        always = self.weights + self.gradients + self.optimizer + self.buffers
        beside = self.reference + self.engine + self.runtime
        return always + beside + max(self.activations + self.logits, self.step)

    def told(self) -> str:
        """The parts in GB, the largest first, those below 0.05 left out."""
        parts = {n: v for n, v in vars(self).items() if v >= 0.05 * GB}
        return ", ".join(f"{n} {v / GB:.1f}" for n, v in sorted(parts.items(), key=lambda p: -p[1]))


def memory(load: Load) -> Memory:
    """What the load takes on each of its GPUs."""
    size, shape = BYTES[load.dtype], load.shape
    values, shared = float(shape.parameters), float(shape.parameters) / load.ranks
    # in bf16 the optimizer keeps fp32 weights beside its two moments; in fp32 DeepSpeed copies its part when it shards
    mixed = 12 if size == 2 or load.stage else 8
    bucket = min(BUCKET, values) * size * (load.stage > 0)
    gathered = min(values, max(LIVE, shape.gathered)) * size * (load.stage == 3)
    states = shared if load.stage else values
    held = size * (shared if load.stage == 3 else values)  # of a model's weights
    return Memory(
        weights=held,
        gradients=size * (shared if load.stage >= 2 else values),
        optimizer=mixed * states,
        buffers=bucket + gathered,
        activations=_activations(load),
        logits=_logits(load),
        step=8 * states,  # gradients in fp32, and Adam's denominator
        reference=load.copies * (held + gathered),  # it gathers layers while the policy may still hold some
        engine=load.engine,
        runtime=load.runtime,
    )


def _activations(load: Load) -> float:
    """Of all layers; with checkpointing their inputs, and one layer whole. The MLP's gradients come on top."""
    size, shape, tokens = BYTES[load.dtype], load.shape, load.rows * load.context
    layer = tokens * (size * shape.kept + 4 * shape.upcast)
    inputs = tokens * shape.layers * shape.hidden * size
    return layer * 1.5 + inputs if load.checkpointing else layer * (shape.layers + 0.5)


def _logits(load: Load) -> float:
    """Logits, their fp32 copy, its log-softmax and the gradients; in chunks, and the head's gradient in fp32 beside."""
    if not load.head:
        return 0.0
    size, vocabulary, tokens = BYTES[load.dtype], load.shape.vocabulary, load.rows * load.context
    if not load.chunk:
        return float(tokens * vocabulary * (8 + 2 * size))
    chunk = min(load.chunk, tokens)
    return float(chunk * vocabulary * (8 + 2 * size) + vocabulary * load.shape.hidden * (4 + size))


def hf_engine(load: Load, samples: int) -> float:
    """Bytes of rollouts by transformers on each GPU that makes `samples` a step: a whole model, cache and logits.

    A layer's cache is written anew for each token, and repeated for all heads while attention works on it.
    """
    size, shape = BYTES[load.dtype], load.shape
    rows = max(1, min(samples, HF_ROWS, HF_TOKENS // load.context))
    cache = rows * load.context * (shape.cached * (shape.layers + 1) + shape.attended) * size
    # logits and log-softmax in fp32, probabilities and their sums in fp64
    return float(size * shape.parameters + cache + rows * shape.vocabulary * (size + 4 * 4 + 3 * 8))


def ranks_needed(load: Load, most: float) -> int | None:
    """The fewest GPUs of `most` bytes (a power of two) on which the load fits; None if no number does."""
    ranks = 1
    while ranks <= MOST_RANKS:
        if memory(replace(load, ranks=ranks)).total <= most:
            return ranks
        ranks *= 2
    return None


def longest_context(load: Load, most: float) -> int:
    """The longest context that fits in `most` bytes, down to a multiple of 1,024 from there on; 0 if none does."""
    low, high = 0, 1 << 21
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if memory(replace(load, context=middle)).total <= most else (low, middle)
    return low // 1024 * 1024 if low > 1024 else low


def remedies(load: Load, most: float) -> list[str]:
    """What would make the load fit: what changes no result, one by one or together; GPUs; a shorter context."""
    changes: dict[str, Load] = {}
    if not load.checkpointing:
        changes["gradient_checkpointing = true"] = replace(load, checkpointing=True)
    if not load.chunk and load.head:
        changes[f"loss_chunk = {CHUNK}"] = replace(load, chunk=CHUNK)
    if load.stage < 3:
        changes["zero_stage = 3"] = replace(load, stage=3)
    if load.rows > 1:
        changes["micro_batch = 1"] = replace(load, rows=1)
    found = [f"{name} ({memory(other).total / GB:.1f} GB)" for name, other in changes.items() if _fits(other, most)]
    best = replace(load, checkpointing=True, chunk=CHUNK if load.head else 0, stage=3, rows=1)
    together = " with ".join(changes)
    if not found and changes and _fits(best, most):
        found.append(f"{together} ({memory(best).total / GB:.1f} GB)")
    if ranks := ranks_needed(load, most):
        found.append(f"ranks = {ranks}")
    elif not found and (ranks := ranks_needed(best, most)):
        found.append(f"ranks = {ranks}" + (f" with {together}" if changes else ""))
    if context := longest_context(load, most):
        found.append(f"a context of {context:,} tokens")
    if found:
        return found
    rest = memory(replace(best, ranks=MOST_RANKS))
    return [f"nothing here: {MOST_RANKS:,} GPUs would still have {rest.total / GB:,.1f} GB each ({rest.told()})"]


def _fits(load: Load, most: float) -> bool:
    return memory(load).total <= most


def seconds(load: Load, tokens: float, forwards: float, tflops: float) -> float:
    """Of computing `tokens` with a backward pass (twice the forward one) and `forwards` more; `tflops` a GPU."""
    passes = 3 + forwards + load.checkpointing
    return load.shape.flops(load.context) * passes * tokens / (load.ranks * tflops * 1e12)
