"""Languages: the demo's numbers stay, labelled samples are met, and one text says what a batch says of it."""

import numpy as np
import pytest
from pycld2 import LANGUAGES

from r1data.languages import KNOWN, code_of
from r1data.rewards.language import LanguageUnits, language_consistency, language_units, units_of
from r1data.rewards.scripts import LANGUAGE_OF
from tests.r1data.rewards.labelled import Labelled, labelled

SAMPLES = labelled()
# en, zh, other, switches as the demo's claims were made with
DEMO = [
    ("23 plus 45 is 68", (2, 0, 0, 0)),
    ("23加45得68", (0, 2, 0, 0)),
    ("3 plus 5 is 8, then 2 plus 4 plus 0 is 6", (6, 0, 0, 0)),
    ("3加5得8,再2加4加0得6", (0, 6, 0, 0)),
    ("12 minus 5 is 8, then 5 minus 3 minus 1 is 1", (6, 0, 0, 0)),
    ("5 minus 4 is 0,再5减3减0得2", (2, 4, 0, 1)),
    ("6加0得6, then 3 plus 4 plus 0 is 7", (4, 2, 0, 1)),
    ("3 plus 4 is 7, wait, 3 plus 4 is 8,再9加3加0得12", (5, 4, 0, 1)),
    ("6 plus 0 is 6, then 3 plus 4加0得7", (4, 2, 0, 1)),
    ("抱歉 am tiny tiny,我 User I型。", (4, 4, 0, 4)),
    ("plus plus plus plus plus plus plus plus plus plus plus plus", (12, 0, 0, 0)),
    ("2+plus2得", (1, 1, 0, 1)),
    ("So 23+45=68.", (1, 0, 0, 0)),
    ("所以23加45得68。", (0, 4, 0, 0)),
    ("Sorry, I can not say. You are welcome.", (7, 0, 0, 0)),
    ("3+5=8", (0, 0, 0, 0)),
    ("", (0, 0, 0, 0)),
]
HOSTILE = {
    "empty": "",
    "spaces": " \n\t ",
    "lone surrogate": "\ud800 so it is \udfff",
    "control characters": "\x00\x01 the \x0b\x7f sum \ufffe is\x1b here",
    "combining marks alone": "\u0301\u0302\u0303",
    "unassigned": "\U000e1234\U0010ffff\uffff",
    "unclosed everything": "``` $ $$ \\( \\[ \\begin{ < http:// \\a{ `",
    "Tifinagh": "ⵜⴰⵎⴰⵣⵉⵖⵜ ⵜⴰⵎⴰⵣⵉⵖⵜ",
    "Khmer": "ខ្ញុំស្រឡាញ់គណិតវិទ្យា",
    "Georgian": "გამარჯობა მეგობარო",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
    "right to left": "שלום עולם \u202e abc",
    "mathematical letters": "𝒙𝒚 𝔸𝔹",
}


@pytest.mark.parametrize(("text", "found"), DEMO, ids=[t[:30] or "empty" for t, _ in DEMO])
def test_the_demo_s_numbers_stay(text: str, found: tuple[int, ...]) -> None:
    units = language_units(text)
    assert (units.en, units.zh, units.other, units.switches) == found
    total = sum(found[:3])
    assert language_consistency(text, "en") == (found[0] / total if total else None)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_labelled_share_is_met(sample: Labelled) -> None:
    found = language_consistency(sample.text, sample.target)
    assert found == pytest.approx(sample.share, abs=0.1)


def test_mean_error_over_enough_samples() -> None:
    assert len(SAMPLES) >= 60
    errors = [abs((language_consistency(s.text, s.target) or 0.0) - s.share) for s in SAMPLES]
    assert np.mean(errors) <= 0.02


def test_a_batch_says_what_each_text_says_alone() -> None:
    texts = [s.text for s in SAMPLES] + [t for t, _ in DEMO] + list(HOSTILE.values())
    targets = [s.target for s in SAMPLES] + ["zh"] * (len(texts) - len(SAMPLES))
    alone = [language_units(t, g) for t, g in zip(texts, targets, strict=True)]
    assert list(units_of(texts, targets)) == alone
    assert [language_consistency(t, g) for t, g in zip(texts, targets, strict=True)] == [
        u.consistency(g) for u, g in zip(alone, targets, strict=True)
    ]


@pytest.mark.parametrize("language", ["EN", "en-US", "en_GB", " en "])
def test_a_code_may_be_written_otherwise(language: str) -> None:
    text = "3 plus 5 is 8, then 我"
    assert language_consistency(text, language) == language_consistency(text, "en") == 0.75
    assert language_units(text, language) == language_units(text, "en")


@pytest.mark.parametrize("language", ["English", "xx", "und", "", "None", "ka", None])
def test_a_language_that_is_not_known_is_not_measured(language: str | None) -> None:
    assert language_consistency("3 plus 5 is 8", language) is None
    assert language_units("3 plus 5 is 8", language).en == 2


def test_known_are_those_that_can_be_found() -> None:
    scripts = set(LANGUAGE_OF.values()) - {"und"}
    assert scripts <= KNOWN
    assert KNOWN - scripts <= {code for _, code in LANGUAGES}
    assert {s.target for s in SAMPLES} <= KNOWN
    assert code_of("zh-Hant") == "zh"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_measured_or_null(text: str) -> None:
    share = language_consistency(text, "en")
    assert share is None or 0 <= share <= 1


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        (HOSTILE["lone surrogate"], {"en": 3}),
        (HOSTILE["control characters"], {"en": 4}),
        (HOSTILE["Tifinagh"], {"und": 2}),
        (HOSTILE["Georgian"], {"und": 2}),
        (HOSTILE["right to left"], {"he": 2, "en": 1}),
        (HOSTILE["combining marks alone"], {}),
    ],
)
def test_scripts_nobody_thought_of_count_as_words(text: str, languages: dict[str, int]) -> None:
    assert language_units(text).by_language == languages


def test_longest_foreign_run_and_scripts() -> None:
    found = language_units("我们用 the mean value theorem 证明这个结论。", "zh")
    assert (found.longest_foreign, found.switches, found.by_script["latin"], found.by_script["han"]) == (4, 2, 4, 9)
    assert isinstance(found, LanguageUnits)


@pytest.mark.parametrize(
    ("piece", "times"),
    [
        ("The sum is even. 所以它是偶数。", 300_000),
        ("\\a{", 2_000_000),
        ("\\[ $$ ", 1_000_000),
        ("il faut ", 1_000_000),
    ],
    ids=["prose", "open arguments", "open formulas", "one clause"],
)
def test_ten_megabytes_in_seconds(piece: str, times: int) -> None:
    found = language_units(piece * times)
    assert found.total == 0 or found.total >= times
