"""TRL as an oracle: the same batch on the same weights gives the same advantages, loss and gradient.

Its own code runs on given rollouts: `GRPOTrainer` scores them and computes the loss, without its training loop.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen2ForCausalLM

from r1data.training_params import ArchitectureParams, GrpoParams, OptimizerParams
from training.grading import advantages_of
from training.losses import completion_loss
from training.policy import PolicyStep
from training.pretrain import configuration
from training.reference import Reference
from training.rollout import Sample
from training.schedule import Rows
from training.tokens import EOS, labelled, trained_tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("trl") is None, reason="TRL, the oracle, is not installed (extra `oracle`)"),
]
LIMIT, GROUP, CLOSE, TEMPERATURE = 8, 4, 1e-5, 0.7
PROMPTS = [[10, 11, 12], [13, 14], [15, 16, 17, 18], [19]]
REWARDS = [1.2, 0.0, 0.2, 1.0, 1.0, 1.0, 1.0, 0.0, 0.2, 0.2, 0.2, 0.2, 0.0, 1.2, 0.0, 0.0]
PARAMS = GrpoParams(
    optimizer=OptimizerParams(learning_rate=1e-3),
    template="{question}",
    steps=1,
    prompts_per_step=len(PROMPTS),
    group=GROUP,
    updates_per_rollout=2,
    temperature=TEMPERATURE,
    max_tokens=LIMIT,
    kl=0.0,
    max_mismatch=9.0,
)


@dataclass
class Undriven:
    """What `PolicyStep` needs of a `Trainer`: gradients are kept, and between the two updates the weights move."""

    engine: Any
    moved: dict[str, torch.Tensor]
    step: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    losses: list[float] = field(default_factory=lambda: [0.0])

    def mine(self, rows: Rows) -> list[Rows]:
        """All rows, in micro-batches of three."""
        return [rows[i : i + 3] for i in range(0, len(rows), 3)]

    def backward(self, loss: torch.Tensor) -> None:
        """The gradient adds up."""
        torch.autograd.backward(loss)
        self.losses[-1] += float(loss)

    def grad_norm(self) -> float:
        """Called after each update: the second one begins on other weights, without a gradient."""
        if len(self.losses) == 1:
            self.engine.load_state_dict(self.moved)
            self.engine.zero_grad()
            self.losses.append(0.0)
        return 0.0

    def total_over_ranks(self, values: torch.Tensor) -> list[float]:
        """One rank."""
        found: list[float] = values.tolist()
        return found


@dataclass
class Oracle:
    """TRL's trainer, and three sets of weights: the reference's, those that sampled, and those one update later."""

    trainer: Any
    folder: Path
    old: dict[str, torch.Tensor]
    moved: dict[str, torch.Tensor]
    samples: list[Sample]

    def model(self) -> Any:
        """A model with the weights that sampled."""
        model = Qwen2ForCausalLM.from_pretrained(self.folder)
        model.load_state_dict(self.old)
        return model


def noisy(weights: dict[str, torch.Tensor], scale: float, seed: int) -> dict[str, torch.Tensor]:
    """Weights a little off; the tied head stays tied."""
    made = torch.Generator().manual_seed(seed)
    found = {n: w + scale * torch.randn(w.shape, generator=made) for n, w in weights.items()}
    return {**found, "lm_head.weight": found["model.embed_tokens.weight"]}


def drawn(model: Any, seed: int) -> list[Sample]:
    """Completions of 1 to 8 tokens with the model's log-probs, as an engine of other numerics would give them."""
    rng, made = np.random.default_rng(seed), []
    for i in range(len(PROMPTS) * GROUP):
        prompt, ids = PROMPTS[i // GROUP], [*rng.integers(6, 40, rng.integers(0, LIMIT)).tolist(), EOS]
        logits = model(input_ids=torch.tensor([prompt + ids])).logits[0].detach() / TEMPERATURE
        own = logits.log_softmax(-1)[range(len(prompt) - 1, len(prompt) + len(ids) - 1), ids]
        off = (own + torch.tensor(rng.normal(0, 0.3, len(ids)))).tolist()
        made.append(Sample(i // GROUP, i % GROUP, 0, "", ids, off, "stop", REWARDS[i]))
    return made


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    folder = tmp_path_factory.mktemp("trl")
    tokenizer = trained_tokenizer(["User: 1+1=?\nAssistant: 2"] * 30)
    torch.manual_seed(0)
    shape = ArchitectureParams(hidden_size=32, intermediate_size=32, layers=2, heads=2, kv_heads=1)
    model = Qwen2ForCausalLM(configuration(shape.model_copy(update={"initializer_range": 0.1}), len(tokenizer)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    reference = {n: w.clone() for n, w in model.state_dict().items()}
    old, moved = noisy(reference, 0.02, 1), noisy(reference, 0.03, 2)
    model.load_state_dict(old)
    samples = drawn(model, 0)
    made = GRPOTrainer(
        model=str(folder),
        reward_funcs=lambda completions, **_: [s.reward for s in samples],
        args=GRPOConfig(
            output_dir=str(folder / "out"),
            **{"use_cpu": True, "bf16": False, "report_to": [], "model_init_kwargs": {"dtype": "float32"}},
            **{"per_device_train_batch_size": len(samples), "num_generations": GROUP, "max_completion_length": LIMIT},
            **{"temperature": TEMPERATURE, "beta": 0.1, "use_bias_correction_kl": False},
        ),
        train_dataset=Dataset.from_dict({"prompt": ["x"] * len(samples)}),
        processing_class=tokenizer,
    )
    made.rollout_func = lambda prompts, trainer: {
        "prompt_ids": [PROMPTS[s.ask] for s in samples],
        "completion_ids": [s.token_ids for s in samples],
        "logprobs": [s.logprobs for s in samples],
    }
    made.use_vllm, made._last_loaded_step = True, made.state.global_step  # vLLM's weights are as new as they can be
    made.current_gradient_accumulation_steps = 1
    return Oracle(made, folder, old, moved, samples)


def theirs(oracle: Oracle, rows: Rows, **changes: Any) -> tuple[torch.Tensor, float, dict[str, torch.Tensor]]:
    """(advantages of all samples, loss of rows, its gradient) of TRL: scored on the old weights, loss on the moved."""
    trainer, usual = oracle.trainer, {}
    for name, value in changes.items():
        usual[name] = getattr(trainer, name)
        setattr(trainer, name, value)
    try:
        trainer.model.load_state_dict(oracle.old)
        trainer.model.train()
        scored = trainer._generate_and_score_completions([{"prompt": "x"}] * len(oracle.samples))
        trainer.model.load_state_dict(oracle.moved)
        trainer.model.zero_grad()
        batch = {k: v[rows] for k, v in scored.items() if k != "num_items_in_batch"}
        batch["num_items_in_batch"] = batch["completion_mask"].sum()
        loss = trainer._compute_loss(trainer.model, batch)
        loss.backward()
        gradient = {n: p.grad.clone() for n, p in trainer.model.named_parameters()}
        return scored["advantages"], float(loss), gradient
    finally:
        for name, value in usual.items():
            setattr(trainer, name, value)


def ours(oracle: Oracle, params: GrpoParams) -> tuple[Rows, torch.Tensor, float, dict[str, torch.Tensor]]:
    """(rows of the second update, advantages, its loss, its gradient) of `PolicyStep`."""
    trainer: Any = Undriven(oracle.model(), oracle.moved)
    step = PolicyStep(params, trainer, Reference(oracle.folder, params, trainer.device), PROMPTS, oracle.samples)
    advantage = advantages_of(oracle.samples, params)
    step.update(0, advantage)
    return step._parts(0)[1], advantage, trainer.losses[1], {n: p.grad for n, p in trainer.engine.named_parameters()}


Changes = dict[str, Any]
USUAL: Changes = {
    **{"num_iterations": 2, "loss_type": "bnpo", "beta": 0.0, "scale_rewards": "group"},
    **{"epsilon_low": 0.2, "epsilon_high": 0.2, "vllm_importance_sampling_mode": "token_truncate"},
    **{"vllm_importance_sampling_clip_min": None, "vllm_importance_sampling_clip_max": 2.0},
}
OUR_CAPS: Changes = {"importance_cap": 1.3, "importance_floor": 0.8}
THEIR_CAPS: Changes = {"vllm_importance_sampling_clip_max": 1.3, "vllm_importance_sampling_clip_min": 0.8}
# ours and TRL's, each against what is usual
SETTINGS: dict[str, tuple[Changes, Changes]] = {
    "grpo": ({"aggregation": "sequence"}, {"loss_type": "grpo"}),
    "bnpo": ({"aggregation": "token"}, {"loss_type": "bnpo"}),
    "dapo": ({"aggregation": "token"}, {"loss_type": "dapo"}),
    "dr_grpo": (
        {"aggregation": "constant", "advantage": "mean_only"},
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
    ),
    "kl": ({"aggregation": "sequence", "kl": 0.1}, {"loss_type": "grpo", "beta": 0.1}),
    "clip higher": ({"clip_low": 0.05, "clip_high": 0.15}, {"epsilon_low": 0.05, "epsilon_high": 0.15}),
    "epsilon of 10": ({"clip_low": 10.0, "clip_high": 10.0}, {"epsilon_low": 10.0, "epsilon_high": 10.0}),
    "no correction": ({"importance": "none"}, {"vllm_importance_sampling_correction": False}),
    **{
        mode: ({"importance": mode, **OUR_CAPS}, {"vllm_importance_sampling_mode": mode, **THEIR_CAPS})
        for mode in ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
    },
}


def changed(mine: Changes) -> GrpoParams:
    """The usual parameters with some others."""
    return PARAMS.model_validate({**PARAMS.model_dump(), **mine})


@pytest.mark.parametrize("name", SETTINGS)
def test_loss_and_gradient_are_trls(oracle: Oracle, name: str) -> None:
    mine, told = SETTINGS[name]
    rows, advantage, loss, gradient = ours(oracle, changed(mine))
    wanted_advantage, wanted, wanted_gradient = theirs(oracle, rows, **{**USUAL, **told})
    assert torch.allclose(advantage, wanted_advantage, atol=CLOSE)
    assert loss == pytest.approx(wanted, abs=CLOSE)
    assert gradient.keys() == wanted_gradient.keys()
    assert max(float((gradient[n] - wanted_gradient[n]).abs().max()) for n in gradient) < CLOSE
    assert max(float(g.abs().max()) for g in gradient.values()) > 1e-3, "there is something to compare"


def test_settings_differ(oracle: Oracle) -> None:
    """Else one of them would be compared with another."""
    found = [ours(oracle, changed(mine))[2] for mine, _ in SETTINGS.values()]
    assert len({round(x, 6) for x in found}) == len(SETTINGS) - 1, "bnpo and dapo are one on a whole batch"


def test_undecided_samples_leave_their_group_as_trls(oracle: Oracle) -> None:
    usual = [s.reward for s in oracle.samples]
    for i in (1, 8, 9, 10, 11):
        oracle.samples[i].reward = None
    try:
        wanted, _, _ = theirs(oracle, np.arange(4), **USUAL)
        assert torch.allclose(advantages_of(oracle.samples, PARAMS), wanted, atol=CLOSE)
    finally:
        for s, reward in zip(oracle.samples, usual, strict=True):
            s.reward = reward


def test_sft_loss_is_trls(oracle: Oracle, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    prompts = [PROMPTS[s.ask] for s in oracle.samples]
    completions = [s.token_ids for s in oracle.samples]
    rows = {"input_ids": [p + c for p, c in zip(prompts, completions, strict=True)]}
    rows["completion_mask"] = [[0] * len(p) + [1] * len(c) for p, c in zip(prompts, completions, strict=True)]
    options: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": [], "per_device_train_batch_size": 16}
    told = SFTConfig(output_dir=str(tmp_path), completion_only_loss=True, **options)
    trainer = SFTTrainer(
        oracle.model(), told, train_dataset=Dataset.from_dict(rows), processing_class=oracle.trainer.processing_class
    )
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(prompts))])
    wanted = trainer.compute_loss(trainer.model, batch)
    wanted.backward()
    model = oracle.model()
    inputs, labels = labelled(prompts, completions)
    loss = completion_loss(model(input_ids=inputs).logits, labels) / sum(map(len, completions))
    torch.autograd.backward(loss)
    assert float(loss) == pytest.approx(float(wanted), abs=CLOSE)
    theirs_by_name = dict(trainer.model.named_parameters())
    assert max(float((p.grad - theirs_by_name[n].grad).abs().max()) for n, p in model.named_parameters()) < CLOSE
