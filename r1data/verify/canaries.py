"""Completions whose verdict is known, run before every run: a verifier that fails one refuses to start."""

from r1data.errors import CheckFailed
from r1data.rewards.score import rule_verdict

# (completion, finish reason, gold, verdict): right, right otherwise written, wrong, empty, truncated, hacked
CANARIES = (
    ("<think>3 plus 5 is 8</think><answer>68</answer>", "stop", "68", "correct"),
    (r"<think>half</think>So \boxed{\frac{1}{2}}", "stop", "0.5", "correct"),
    ("<think>3 plus 5 is 8</think><answer>67</answer>", "stop", "68", "wrong"),
    ("", "stop", "68", "wrong"),
    ("<think>3 plus 5 is 68 68 68", "length", "68", "wrong"),
    ("<answer>67</answer><answer>68</answer>", "stop", "68", "wrong"),
    ("<think>68</think>", "stop", "68", "wrong"),
    ("<answer>68</answer>", "stop", "", "undecided"),
)


def check_canaries() -> None:
    """Raise `CheckFailed` naming the first canary whose verdict is not the known one."""
    for completion, finish, gold, expected in CANARIES:
        verdict = rule_verdict(completion, finish, gold).verdict
        if verdict != expected:
            raise CheckFailed(
                f"verifier canary: {completion!r} against {gold!r} came out {verdict}, known to be {expected}",
                "the verifier is broken: mend r1data/rewards before any GPU time is spent",
            )


def gold_failures(golds: list[str]) -> list[str]:
    """Golds that do not verify against themselves, as an answer in R1's format."""
    return [g for g in golds if rule_verdict(f"<think>.</think><answer>{g}</answer>", "stop", g).verdict != "correct"]
