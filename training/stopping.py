"""When a stage ends, and why, from its metrics alone: a resumed run ends at the same step."""

from collections.abc import Sequence

from r1data.errors import RecipeError
from r1data.training_params import DriftParams, GrpoParams, PlateauParams, SupervisedParams
from training.core import VOLATILE


def reason_to_stop(metrics: Sequence[dict[str, float]], params: GrpoParams) -> str:
    """Why no step of GRPO follows those of the metrics, one entry a step; empty: one does."""
    if len(metrics) >= params.steps:
        return f"steps: all {params.steps}"
    return (_plateau(metrics, params.plateau) if params.plateau else "") or _drifted(metrics, params.drift)


def diverged(metrics: Sequence[dict[str, float]], params: SupervisedParams) -> str:
    """Why none of a supervised training does: the loss of the row of steps that has just ended; empty: one does."""
    window, most = params.keep.window, params.alarms.max_loss_ratio
    if most is None or len(metrics) < 2 * window or len(metrics) % window:
        return ""
    losses = [m["loss"] for m in metrics]
    *before, now = (sum(losses[i : i + window]) / window for i in range(0, len(losses), window))
    if now <= most * min(before):
        return ""
    return f"diverged: loss {min(before):.4g} -> {now:.4g} over rows of {window} steps, more than {most:g} times"


def _drifted(metrics: Sequence[dict[str, float]], rule: DriftParams) -> str:
    """The last step's check alone decides: see `training.drift`."""
    checks = [m for m in metrics if "drift" in m]
    if rule.limit is None or not checks or checks[-1] is not metrics[-1] or checks[-1]["drift"] <= rule.limit:
        return ""
    was, now = checks[0], checks[-1]
    told = (f"{n} {was[f'{n}_score']:.4g} -> {now[f'{n}_score']:.4g}" for n in ("reward", "judge"))
    return f"drift: {', '.join(told)}, {now['drift']:.3g} standard errors since step {was['step']:g}"


def _plateau(metrics: Sequence[dict[str, float]], rule: PlateauParams) -> str:
    """Steps that do not have the metric (an accuracy where nothing was verified) do not count."""
    values = [m[rule.metric] for m in metrics if rule.metric in m]
    if not values and len(metrics) >= rule.window:
        known = ", ".join(sorted(metrics[-1].keys() - {"step", *VOLATILE}))
        raise RecipeError(f"plateau: no metric {rule.metric!r} in {rule.window} steps", f"choose one of {known}")
    if len(values) < 2 * rule.window:
        return ""
    before = sum(values[-2 * rule.window : -rule.window]) / rule.window
    last = sum(values[-rule.window :]) / rule.window
    if last - before >= rule.least_gain:
        return ""
    return f"plateau: {rule.metric} {before:.4g} -> {last:.4g} over windows of {rule.window} steps"
