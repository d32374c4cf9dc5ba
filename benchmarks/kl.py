"""What each KL estimate does as a term of the loss, or in the reward: the experiment of docs/kl.md.

python -m benchmarks.kl     prints its tables and draws docs/kl.svg; under a minute on one core

A softmax policy over 32 tokens in 64 contexts starts away from its reference and is trained with the product's own
estimates, losses and advantages on tokens drawn from it: 16 a context, 4 updates on each draw, plain gradient descent.
"""

import re
from pathlib import Path
from typing import get_args

import torch

from r1data.training_params import KlEstimator
from training.kl import full_kl, sampled_kl
from training.losses import advantages, clipped_objective

WORDS, CONTEXTS, DRAWN, UPDATES, STEPS = 32, 64, 16, 4, 300
RATE, CLIP, WEIGHT, SHORT, SEED = 1.0, 0.2, 0.3, 30, 0
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "kl.svg"
Curves = tuple[list[float], list[float]]


def logprobs(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """[contexts, drawn] log-probs of tokens."""
    return logits.log_softmax(-1).gather(1, tokens)


def divergence(logits: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """[contexts] exact KL(policy || reference)."""
    return full_kl(logits[:, None].expand(-1, 2, -1), reference[:, None].expand(-1, 2, -1), 1.0)[:, 0]


def trained(
    estimator: KlEstimator, place: str, weight: float, good: torch.Tensor | None, updates: int = UPDATES
) -> Curves:
    """(KL to the reference, share of good tokens) at first and after each step; `good` None: no reward but the KL."""
    made = torch.Generator().manual_seed(SEED)
    reference = torch.randn(CONTEXTS, WORDS, generator=made)
    apart = 1.0 if good is None else 0.0
    logits = (reference + apart * torch.randn(CONTEXTS, WORDS, generator=made)).requires_grad_()
    found: Curves = ([], [])
    note(found, logits.detach(), reference, good)
    for _ in range(STEPS):
        tokens = torch.multinomial(logits.detach().softmax(-1), DRAWN, replacement=True, generator=made)
        old, ref = logprobs(logits.detach(), tokens), logprobs(reference, tokens)
        reward = torch.zeros_like(old) if good is None else good.gather(1, tokens).float()
        if place == "reward":
            reward = reward - weight * sampled_kl(estimator, old, ref)
        advantage = advantages(reward, "mean_only")
        for _ in range(updates):
            policy = logprobs(logits, tokens)
            loss = -clipped_objective(policy, old, advantage, CLIP, CLIP)[0].mean(1)
            if place == "loss" and estimator == "full":
                loss = loss + weight * divergence(logits, reference)
            elif place == "loss":
                loss = loss + weight * sampled_kl(estimator, policy, ref).mean(1)
            (gradient,) = torch.autograd.grad(loss.sum(), logits)
            logits = (logits.detach() - RATE * gradient).requires_grad_()
        note(found, logits.detach(), reference, good)
    return found


def note(found: Curves, logits: torch.Tensor, reference: torch.Tensor, good: torch.Tensor | None) -> None:
    """Write down where the policy is."""
    found[0].append(float(divergence(logits, reference).mean()))
    found[1].append(0.0 if good is None else float((logits.softmax(-1) * good).sum(-1).mean()))


def estimates() -> list[str]:
    """Mean and standard deviation of each estimate of one divergence, from every token of every context."""
    made = torch.Generator().manual_seed(SEED)
    reference = torch.randn(CONTEXTS, WORDS, generator=made)
    logits = reference + 0.3 * torch.randn(CONTEXTS, WORDS, generator=made)
    policy, ref = logits.log_softmax(-1), reference.log_softmax(-1)
    exact = float(divergence(logits, reference).mean())
    lines = [f"exact {exact:.4f} nats", "| estimate | mean | standard deviation |", "|---|---|---|"]
    for kind in [k for k in get_args(KlEstimator) if k != "full"]:
        value = sampled_kl(kind, policy, ref)
        mean = (policy.exp() * value).sum(-1)
        spread = (policy.exp() * (value - mean[:, None]).square()).sum(-1).sqrt()
        lines.append(f"| {kind} | {float(mean.mean()):.4f} | {float(spread.mean()):.4f} |")
    return lines


def optimum(good: torch.Tensor) -> tuple[float, float]:
    """(KL, share of good tokens) of the best policy there is: reference x exp(reward / weight)."""
    reference = torch.randn(CONTEXTS, WORDS, generator=torch.Generator().manual_seed(SEED))
    found: Curves = ([], [])
    note(found, reference + good / WEIGHT, reference, good)
    return found[0][0], found[1][0]


def main() -> None:
    """Both experiments, their tables, the figure."""
    print("\n".join(estimates()))
    torch.manual_seed(SEED)
    good = torch.zeros(CONTEXTS, WORDS).scatter_(1, torch.randint(WORDS, (CONTEXTS, 2)), 1.0)
    ways = [(kind, "loss") for kind in get_args(KlEstimator)] + [("k1", "reward"), ("k3", "reward")]
    alone = {f"{k}, {p}": trained(k, p, 1.0, None) for k, p in ways}
    alone["k1, loss, 1 update"] = trained("k1", "loss", 1.0, None, 1)
    both = {f"{k}, {p}": trained(k, p, WEIGHT, good) for k, p in ways}
    both["k1, loss, 1 update"] = trained("k1", "loss", WEIGHT, good, 1)
    both["no KL term"] = trained("k3", "loss", 0.0, good)
    print(f"\n| estimate, place | KL alone: first | step {SHORT} | step {STEPS} | with a reward: KL | good tokens |")
    print("|---|---|---|---|---|---|")
    for name, (kl, share) in both.items():
        before = " | ".join(f"{alone[name][0][i]:.3f}" for i in (0, SHORT, STEPS)) if name in alone else " | | "
        print(f"| {name} | {before} | {kl[-1]:.2f} | {share[-1]:.2f} |")
    best = optimum(good)
    print(f"| the optimum | 0 | 0 | 0 | {best[0]:.2f} | {best[1]:.2f} |")
    draw(alone, both)


def draw(alone: dict[str, Curves], both: dict[str, Curves]) -> None:
    """Two plots of the divergence by step, equal for equal input."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "kl", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), layout="constrained")
    plots = ((axes[0], alone, "nothing but the KL term", "log"), (axes[1], both, "with a reward to chase", "linear"))
    for plot, curves, title, scale in plots:
        for i, (name, (kl, _)) in enumerate(curves.items()):
            plot.plot(range(0, STEPS + 1, 10), kl[::10], label=name, linewidth=1.2, color=f"C{i}")
        plot.set(title=title, xlabel="step", ylabel="KL to the reference, nats", yscale=scale)
    axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(FIGURE, metadata={"Date": None})
    text = re.sub(r"[ \t]+$", "", FIGURE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    FIGURE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
