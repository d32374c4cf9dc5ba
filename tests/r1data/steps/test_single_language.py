"""`single_language`: a thought of any two languages leaves, one of one language stays, with a name or without."""

import pytest

from r1data.gate_params import GateParams
from r1data.steps.gates import missed
from r1data.steps.measures import measured
from tests.r1data.rewards.labelled import Labelled, labelled

ENGLISH = "First we add the two numbers that are given, and then we take away the third of them to find the rest. "
FRENCH = "D'abord il faut ajouter les deux nombres, et ensuite nous devons retirer le troisième pour trouver le reste. "
JAPANESE = "リンゴは全部で何個ありますか。まず三個のリンゴがあります。次に二個のリンゴを足すと五個になります。"
RUSSIAN = "Сначала мы складываем два числа. "
SAMPLES = [s for s in labelled() if s.share < 1]
ALONE = [s for s in labelled() if s.share == 1]


def mixed(thought: str) -> str | None:
    """What the gate says of the languages."""
    params = GateParams(language_consistency=None, single_language=True)
    facts = measured(f"<think>{thought}</think>So<answer>1</answer>", "stop", "en")
    miss = missed(params, {"verdict": "correct", "reason": "", "completion_tokens": 9, **facts})
    return miss[2] if miss and miss[:2] == ("language", "mixed") else None


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_two_languages_leave(sample: Labelled) -> None:
    assert mixed(sample.text)


@pytest.mark.parametrize("sample", ALONE, ids=lambda s: s.name)
def test_one_language_stays(sample: Labelled) -> None:
    assert mixed(sample.text) is None


@pytest.mark.parametrize(
    ("thought", "value"),
    [
        (ENGLISH * 50 + RUSSIAN, "en 1100, ru 5"),
        (ENGLISH + JAPANESE, "en 22, ja 46"),
        (ENGLISH + FRENCH, "en 22, fr 18"),
        (ENGLISH * 50 + "等", "en 1100, zh 1"),
        (RUSSIAN * 3 + "Well.", "en 1, ru 15"),
        (ENGLISH * 50 + "As Déjà-vu says: « il faut que les nombres soient là ».", None),
        (ENGLISH * 5 + "The angle is Δθ.", None),
        (FRENCH * 50 + "It is the sum of the two.", None),
        (JAPANESE + "答え：5個。", None),
        (JAPANESE, None),
        ("3+5=8", None),
    ],
)
def test_what_is_said_and_what_is_too_little(thought: str, value: str | None) -> None:
    assert mixed(thought) == value
