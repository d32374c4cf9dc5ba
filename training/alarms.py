"""Signs that a policy collapses, read off the metrics that the run saved: a resumed run sees the same ones."""

from collections.abc import Iterator, Sequence

from r1data.errors import StageFailed
from r1data.training_params import AlarmParams
from training.core import Trainer, Weights


def ring(trainer: Trainer, params: AlarmParams, extra: Weights | None) -> None:
    """Save the state (with `extra` tensors) and raise `StageFailed` where the policy collapses; collective."""
    sign = sign_of(trainer.metrics, params)
    if sign is not None:
        trainer.save(extra)
        raise StageFailed(
            f"step {trainer.step}: {sign}",
            "the policy collapses: lower the learning rate or raise kl, or change the limit under alarms; its state "
            f"and its TensorBoard events are kept in {trainer.scratch}",
        )


def sign_of(metrics: Sequence[dict[str, float]], params: AlarmParams) -> str | None:
    """What has held for the last `patience` steps, in words.

    Args:
        metrics: one dict a step, the oldest first; a step without the metric breaks a row of signs.
        params: the limits.
    """
    last = metrics[-params.patience :]
    if len(last) < params.patience:
        return None
    for name, limit, below in _watched(params):
        values = [m[name] for m in last if name in m]
        if len(values) == len(last) and all(v < limit if below else v > limit for v in values):
            side = "below" if below else "above"
            return f"{name} {side} {limit:g} for {len(last)} steps (now {values[-1]:.4g})"
    return None


def _watched(params: AlarmParams) -> Iterator[tuple[str, float, bool]]:
    """(metric, limit, whether lower is worse) of the limits that are set."""
    for name, limit, below in (
        ("entropy", params.min_entropy, True),
        ("completion_tokens", params.min_completion_tokens, True),
        ("format", params.min_format, True),
        ("zero_variance", params.max_zero_variance, False),
        ("kl", params.max_kl, False),
    ):
        if limit is not None:
            yield name, limit, below
