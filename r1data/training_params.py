"""What a training stage is told: the recipe sections that `training.*` mains read. They enter the cache key whole."""

from typing import Literal

from pydantic import Field, model_validator

from r1data.params import Params


def _unset(value: int) -> bool:
    """Settings of memory that are off stay out of the key: checkpoints made before there were any keep theirs."""
    return not value


class ArchitectureParams(Params):
    """A Qwen2 decoder trained from scratch (the demo's base and student)."""

    hidden_size: int = 96
    intermediate_size: int = 288
    layers: int = 3
    heads: int = 3
    kv_heads: int = 3
    max_positions: int = 256
    initializer_range: float = 0.02
    rope_theta: float = 10_000.0


class OptimizerParams(Params):
    """AdamW with linear warm-up and cosine decay to `final_fraction` of the learning rate."""

    learning_rate: float
    final_fraction: float = 0.1
    warmup_steps: int = 10
    weight_decay: float = 0.0
    beta2: float = 0.95
    clip_grad: float = 1.0
    zero_stage: Literal[0, 1, 2, 3] = 2
    dtype: Literal["float32", "bfloat16"] = "float32"
    micro_batch: int = 32
    gradient_checkpointing: bool = Field(
        default=False, exclude_if=_unset, description="compute a layer's activations again instead of keeping them"
    )
    loss_chunk: int = Field(
        default=0,
        ge=0,
        exclude_if=_unset,
        description="positions whose logits exist at a time; 0: all of a micro-batch",
    )


class PretrainParams(Params):
    """Next-token training of a new model on the demo corpus."""

    architecture: ArchitectureParams
    optimizer: OptimizerParams
    steps: int
    batch: int = 32
    max_length: int = 256
    loss_after: str = Field(
        default="", description="only what follows this mark in a document is learnt; empty: all of it"
    )
    save_every: int = 400
    seed: int = 0


class SftParams(Params):
    """Supervised fine-tuning, loss on completions only (paper B.4.2: 2-3 epochs, cosine to a tenth)."""

    optimizer: OptimizerParams
    epochs: int = 2
    batch: int = 32
    max_length: int = 256
    pack_tokens: int = Field(
        default=0,
        ge=0,
        exclude_if=_unset,
        description="examples of a batch lie end to end in rows of at most so many tokens; 0: one a row, padded",
    )
    save_every: int = 200
    seed: int = 0

    @model_validator(mode="after")
    def _room(self) -> "SftParams":
        if 0 < self.pack_tokens < self.max_length:
            raise ValueError(
                f"pack_tokens {self.pack_tokens} is less than max_length {self.max_length}: no row for one"
            )
        return self


class RewardModelParams(Params):
    """A scalar head on the policy: `helpful` pairwise on the summary, `safe` point-wise on all (paper 3.2.2)."""

    optimizer: OptimizerParams
    target: Literal["helpful", "safe"]
    epochs: int = 3
    batch: int = 32
    max_length: int = 256
    held_out: float = 0.2
    save_every: int = 200
    seed: int = 0


class RewardParams(Params):
    """Reward values as recipe numbers, summed: accuracy, format, language weight x consistency, reward models."""

    accuracy_correct: float = 1.0
    accuracy_wrong: float = 0.0
    format_ok: float = 0.2
    format_bad: float = 0.0
    language_weight: float = 0.0
    speed_weight: float = Field(
        default=0.0, description="of a right program: x CPU time of the reference solution / its own, at most 1"
    )
    helpful_weight: float = 0.0
    safe_weight: float = 0.0


class AlarmParams(Params):
    """Signs of a collapse; one that holds for `patience` steps in a row ends the stage, its state saved."""

    min_entropy: float | None = Field(default=None, description="mean entropy of a token, nats")
    min_completion_tokens: float | None = Field(default=None, description="mean length of a completion, tokens")
    min_format: float | None = Field(default=None, description="share of completions in the format")
    max_zero_variance: float | None = Field(default=None, description="share of groups whose rewards are all equal")
    max_kl: float | None = Field(default=None, description="mean KL from the reference, nats a token")
    patience: int = Field(default=20, ge=1, description="steps in a row")


class KeepParams(Params):
    """Which weights of a run become its checkpoint."""

    policy: Literal["last", "best"] = "last"
    metric: str = Field(default="reward", description="higher is better")
    window: int = Field(
        default=10, ge=1, description="steps: compared is the metric's mean over each such row of steps"
    )


class GrpoParams(Params):
    """GRPO (paper 2.1): G outputs a prompt, group advantages, K3 KL in the loss, clipped ratio."""

    optimizer: OptimizerParams
    reward: RewardParams = RewardParams()
    template: str
    steps: int
    prompts_per_step: int = 32
    group: int = 16
    updates_per_rollout: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 96
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl: float = 0.001
    reference_every: int = Field(default=400, description="steps between replacements of the reference by the policy")
    advantage: Literal["group_std", "mean_only", "leave_one_out"] = "group_std"
    aggregation: Literal["token", "sequence", "group"] = "token"
    importance_cap: float = 2.0
    max_mismatch: float = Field(
        default=0.01, description="largest mean |log-prob difference| between trainer and engine, in nats"
    )
    general_share: float = Field(default=0.0, description="share of general prompts in a step")
    general_from_step: int = Field(
        default=0, description="first step with general prompts (paper: the last 400 of 1,700)"
    )
    prompts: Literal["all", "mixed"] = Field(
        default="all",
        description="mixed: without those that the last sampled checkpoint got all right or all wrong",
    )
    curriculum: Literal["shuffled", "easy_first"] = Field(
        default="shuffled", description="easy_first: by that checkpoint's pass rate, the unknown last"
    )
    alarms: AlarmParams = AlarmParams()
    keep: KeepParams = KeepParams()
    save_every: int = 10
    seed: int = 0

    @property
    def by_difficulty(self) -> bool:
        """Whether an earlier sampling decides what is asked, or when."""
        return self.prompts != "all" or self.curriculum != "shuffled"
