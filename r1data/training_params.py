"""What a training stage is told: the recipe sections that `training.*` mains read. They enter the cache key whole."""

from typing import Any, Literal

from pydantic import Field, model_validator

from r1data.params import Params, added

Advantage = Literal["group_std", "mean_only", "leave_one_out"]
Aggregation = Literal["token", "sequence", "group", "constant"]
KlEstimator = Literal["k3", "k1", "k2", "absolute", "full"]
Correction = Literal["token_truncate", "token_mask", "sequence_truncate", "sequence_mask", "none"]


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
    gradient_checkpointing: bool = added(False, "compute a layer's activations again instead of keeping them")
    loss_chunk: int = added(0, "positions whose logits exist at a time; 0: all of a micro-batch", ge=0)

    @model_validator(mode="before")
    @classmethod
    def _whole_in_bf16(cls, told: Any) -> Any:
        """bf16 with ZeRO-0 is ZeRO-1, in keys too: DeepSpeed's wrapper of ZeRO-0 has let AdamW take a step without
        gradients before the first, and its bias corrections are one step ahead from then on."""
        whole = isinstance(told, dict) and told.get("dtype") == "bfloat16" and told.get("zero_stage") == 0
        return {**told, "zero_stage": 1} if whole else told


class KeepParams(Params):
    """Which weights of a run become its checkpoint."""

    policy: Literal["last", "best"] = "last"
    metric: str = Field(default="reward", description="higher is better")
    window: int = Field(
        default=10, ge=1, description="steps: compared is the metric's mean over each such row of steps"
    )

    @property
    def lower(self) -> bool:
        """Whether a lower value is better."""
        return False


class SupervisedKeep(KeepParams):
    """The same of a training without a reward."""

    metric: str = Field(default="loss", description="lower is better where its name ends in loss, else higher")

    @property
    def lower(self) -> bool:
        """Of losses."""
        return self.metric.endswith("loss")


class RewardModelKeep(SupervisedKeep):
    """The same of a reward model, whose rows held out are scored at the end of every row of steps."""

    metric: str = Field(default="held_out_log_loss", description="or held_out_accuracy, higher is better; or loss")


class LossAlarm(Params):
    """A sign that a supervised training diverges; the best weights of before become the checkpoint."""

    max_loss_ratio: float | None = Field(
        default=None,
        gt=1,
        description="the stage ends where the loss of a row of keep.window steps is more than so many times the lowest",
    )


class SupervisedParams(Params):
    """What pre-training, fine-tuning and reward models have in common."""

    save_every: int = 200
    seed: int = 0
    keep: SupervisedKeep = added(SupervisedKeep(), "which weights become the checkpoint")
    alarms: LossAlarm = added(LossAlarm(), "a sign of divergence that ends the stage")

    @model_validator(mode="after")
    def _diverged_weights_are_no_checkpoint(self) -> "SupervisedParams":
        if self.alarms.max_loss_ratio is not None and self.keep.policy == "last":
            raise ValueError('alarms.max_loss_ratio: the last weights have diverged then: set keep.policy = "best"')
        return self


class PretrainParams(SupervisedParams):
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


class SftParams(SupervisedParams):
    """Supervised fine-tuning, loss on completions only (paper B.4.2: 2-3 epochs, cosine to a tenth)."""

    optimizer: OptimizerParams
    epochs: int = 2
    batch: int = 32
    max_length: int = 256
    pack_tokens: int = added(
        0, "examples of a batch lie end to end in rows of at most so many tokens; 0: one a row, padded", ge=0
    )

    @model_validator(mode="after")
    def _room(self) -> "SftParams":
        if 0 < self.pack_tokens < self.max_length:
            raise ValueError(
                f"pack_tokens {self.pack_tokens} is less than max_length {self.max_length}: no row for one"
            )
        return self


class RewardModelParams(SupervisedParams):
    """A scalar head on the policy: `helpful` pairwise on the summary, `safe` point-wise on all (paper 3.2.2)."""

    optimizer: OptimizerParams
    target: Literal["helpful", "safe"]
    epochs: int = 3
    batch: int = 32
    max_length: int = 256
    held_out: float = 0.2
    keep: RewardModelKeep = added(RewardModelKeep(), "which weights become the checkpoint")


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


class DriftParams(Params):
    """Whether the judge still prefers what the reward model prefers: more preference reward leads to reward hacking."""

    every: int = Field(default=0, ge=0, description="steps between checks; 0: none")
    pairs: int = Field(default=64, ge=2, description="most general prompts of a step whose completions are judged")
    votes: int = Field(default=2, ge=2, multiple_of=2, description="a pair, half of them in each order")
    least: int = Field(default=8, ge=2, description="fewer readable pairs are no check")
    limit: float | None = Field(
        default=None,
        gt=0,
        description="standard errors: the stage ends where the judge's score fell by more while the reward rose",
    )
    judge: str = Field(default="", description="who judges; filled in from [judge]")


class LengthStep(Params):
    """From this step on completions may have so many tokens."""

    from_step: int = Field(gt=0, description="number of steps (rollouts) before it")
    max_tokens: int = Field(gt=0)


class PlateauParams(Params):
    """Stop where a metric rises no more: its mean over the last `window` steps against that of the `window` before."""

    metric: str = Field(default="reward", description="a metric of the stage: reward, accuracy, reward_format, ...")
    window: int = Field(gt=0, description="steps")
    least_gain: float = Field(default=0.0, description="a smaller rise from window to window ends the stage")


class GrpoParams(Params):
    """GRPO (paper 2.1): G outputs a prompt, group advantages, K3 KL in the loss, clipped ratio."""

    optimizer: OptimizerParams
    reward: RewardParams = RewardParams()
    template: str
    steps: int = Field(description="the most steps: a rollout and its updates each; `plateau` may end it before")
    prompts_per_step: int = Field(default=32, gt=0)
    group: int = Field(default=16, gt=0, description="completions a prompt")
    updates_per_rollout: int = Field(
        default=1,
        gt=0,
        description="mini-batches of a rollout, an update each, against log-probs from before the first",
    )
    temperature: float = Field(default=1.0, gt=0, description="of samples, and of every log-prob in the loss")
    top_p: float = 1.0
    max_tokens: int = 96
    length_schedule: tuple[LengthStep, ...] = added(
        (), "other max_tokens from a step on (paper: 32,768, then 65,536), in the order of steps"
    )
    overlong: Literal["none", "mask", "penalty"] = added(
        "none",
        "completions that were cut: none: graded like others; mask: they count in their group, but nothing is learnt "
        "from them; penalty: reward component `overlong`",
    )
    overlong_buffer: int = added(
        0, "penalty: from so many tokens before max_tokens it grows evenly; 0: only for what was cut", ge=0
    )
    overlong_weight: float = added(1.0, "penalty at max_tokens", ge=0)
    clip_low: float = Field(
        default=0.2, ge=0, description="the ratio is clipped below at 1 - clip_low; from 1 on never"
    )
    clip_high: float = Field(default=0.2, ge=0, description="and above at 1 + clip_high (paper: 10)")
    kl: float = Field(
        default=0.001, ge=0, description="weight of the KL divergence from the reference; 0: none, no reference"
    )
    kl_place: Literal["loss", "reward"] = added(
        "loss", "a term of the loss a token, or a reward component `kl` of the completion, summed over its tokens"
    )
    kl_estimator: KlEstimator = added(
        "k3", "of the divergence a token; in the loss k3, k2 or full; in the reward k1: docs/kl.md says why"
    )
    reference_every: int = Field(default=400, description="steps between replacements of the reference by the policy")
    advantage: Advantage = Field(
        default="group_std",
        description="reward less its group's mean; over its deviation (group_std), or against the others",
    )
    aggregation: Aggregation = Field(
        default="token",
        description="every token, sequence or group of an update weighs the same; "
        "constant: 1 / (samples x max_tokens) a token",
    )
    dynamic_sampling: int = added(
        0, "most rounds in which other prompts replace those whose rewards are all alike and so teach nothing", ge=0
    )
    importance: Correction = added(
        "token_truncate",
        "weight trainer/engine probability of a token or whole sequence: truncated at importance_cap, "
        "or masked to 0 beyond it",
    )
    importance_cap: float = 2.0
    importance_floor: float = added(0.0, "the same at the lower end", ge=0)
    max_mismatch: float = Field(
        default=0.01, description="largest mean |log-prob difference| between trainer and engine, in nats"
    )
    max_staleness: int = added(
        0,
        "steps that the weights of a sample may be older than the policy that learns from it; 1: the next step's "
        "rollouts are asked while this one trains (one-step-off), of a server only",
        ge=0,
        le=1,
    )
    plateau: PlateauParams | None = added(None, "a second way to stop, beside `steps`; the manifest says which it was")
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
    alarms: AlarmParams = added(AlarmParams(), "signs of a collapse that end the stage")
    keep: KeepParams = added(KeepParams(), "which weights become the checkpoint")
    drift: DriftParams = added(DriftParams(), "reward models against the recipe's judge, on general prompts")
    save_every: int = 10
    seed: int = 0

    @property
    def by_difficulty(self) -> bool:
        """Whether an earlier sampling decides what is asked, or when."""
        return self.prompts != "all" or self.curriculum != "shuffled"

    @model_validator(mode="after")
    def _schedule_is_in_order(self) -> "GrpoParams":
        first = [s.from_step for s in self.length_schedule]
        if first != sorted(set(first)):
            raise ValueError(f"length_schedule: from_step {first}: each must be later than the one before")
        return self

    @model_validator(mode="after")
    def _older_samples_are_corrected(self) -> "GrpoParams":
        if self.max_staleness and self.importance == "none":
            raise ValueError("max_staleness: samples of older weights need the correction that importance = none omits")
        return self

    def tokens_at(self, step: int) -> int:
        """The longest completion of a step, in tokens."""
        return next((s.max_tokens for s in reversed(self.length_schedule) if step >= s.from_step), self.max_tokens)
