"""Near-duplicates: planted copies leave for the best of them, whatever the order of rows and the cut of shards."""

import numpy as np
import polars as pl
import pytest

from r1data.cleaning_params import DedupParams
from r1data.steps.minhash import clusters
from r1data.steps.minhash import signatures as signed
from r1data.steps.near_duplicates import duplicates, signatures
from schemas import TABLES
from tests.r1data.steps.texts import HAN, KANA, changed, characters, code, prose

PARAMS = DedupParams()
TEXTS = {
    "english": prose(1, 200),
    "chinese": characters(2, HAN, 300),
    "japanese": characters(3, KANA, 300),
    "code": "\n".join(code(seed) for seed in (4, 5, 6)),
}


def tables(texts: dict[str, str | None], shares: dict[str, float] | None = None) -> dict[str, pl.DataFrame]:
    """Candidates with their verdicts, none dropped; a later candidate has more tokens."""
    ids = list(texts)
    tokens = [100 + sorted(ids).index(i) for i in ids]
    candidates = {"candidate_id": ids, "problem_id": "p", "completion": [*texts.values()], "completion_tokens": tokens}
    verdicts = {"candidate_id": ids, "share": [(shares or {}).get(i) for i in ids]}
    schema = {"candidate_id": pl.String, "share": pl.Float64}
    no_drops = pl.DataFrame(schema={f.name: pl.String for f in TABLES["drops"].schema})
    return {"candidates": pl.DataFrame(candidates), "verdicts": pl.DataFrame(verdicts, schema), "drops": no_drops}


def gone_of(texts: dict[str, str | None], shares: dict[str, float] | None = None, cuts: int = 1) -> pl.DataFrame:
    """The drops, with the candidates in so many shards."""
    given = tables(texts, shares)
    size = -(-len(texts) // cuts)
    parts = [
        signatures(params=PARAMS, **{n: t.slice(i, size) if n != "drops" else t for n, t in given.items()})
        for i in range(0, len(texts), size)
    ]
    TABLES["signatures"].conform(pl.concat(parts).to_arrow())
    drops = duplicates(params=PARAMS, signatures=pl.concat(parts))
    TABLES["drops"].conform(drops.to_arrow())
    return drops.sort("row_id")


@pytest.mark.parametrize("name", TEXTS)
def test_a_copy_leaves_with_its_evidence(name: str) -> None:
    text = TEXTS[name]
    copies: dict[str, str | None] = {
        "a": text,
        "b": changed(text, 0.02, 1),
        "c": f"  {text.upper()}\n",
        "d": prose(9, 200),
    }
    found = {row["row_id"]: row for row in gone_of(copies).to_dicts()}
    assert {i: (row["gate"], row["reason"]) for i, row in found.items()} == {
        "b": ("near_duplicate", "minhash"),
        "c": ("near_duplicate", "exact"),
    }
    assert {row["evidence"] for row in found.values()} == {text[:160]}
    assert found["c"]["value"] == "a 1.000"
    kept, similarity = found["b"]["value"].split()
    assert kept == "a"
    assert 0.8 <= float(similarity) < 1


def test_a_chain_is_one_cluster() -> None:
    first = prose(20, 200)
    second = changed(first, 0.02, 1)
    third = changed(second, 0.02, 2)
    fourth = changed(third, 0.02, 3)
    chain: dict[str, str | None] = {"a": first, "d": fourth, "b": second, "c": third, "x": prose(21, 200)}
    found = gone_of(chain)
    assert found["row_id"].to_list() == ["b", "c", "d"]
    assert [v.split()[0] for v in found["value"]] == ["a"] * 3
    assert float(found["value"][2].split()[1]) < PARAMS.similarity
    assert gone_of({"a": first, "d": fourth}).is_empty()


@pytest.mark.parametrize(
    ("shares", "best"),
    [({}, "a"), ({"a": 0.5, "b": 0.9, "c": 0.7}, "b"), ({"a": 0.5, "b": 0.5}, "c"), ({"b": 0.2, "c": 0.2}, "a")],
)
def test_the_best_stays(shares: dict[str, float], best: str) -> None:
    text = prose(30, 200)
    copies: dict[str, str | None] = {"c": text, "a": changed(text, 0.01, 1), "b": text}
    found = gone_of(copies, shares)
    assert set(found["row_id"]) == set(copies) - {best}
    assert {v.split()[0] for v in found["value"]} == {best}


def test_neither_order_nor_cut_changes_anything() -> None:
    base = [prose(seed, 80) for seed in range(15)]
    texts = {f"{i:02}-{n}": changed(text, 0.01, n) for i, text in enumerate(base) for n in range(4)}
    shares = {name: 0.25 + hash_of(name) / 2 for name in texts}
    one = gone_of(dict(texts), shares)
    turned = gone_of(dict(reversed(texts.items())), shares, cuts=7)
    assert one.equals(turned)
    assert one.height == 45


def hash_of(name: str) -> float:
    return sum(map(ord, name)) % 7 / 7


def test_nothing_moves_where_there_is_no_text() -> None:
    text = prose(40, 100)
    strange = ["", None, "\x00\x01", "ok", "∫∂", "😀" * 50, "𐎀𐎁 𐎂𐎃", None, "ok"]
    texts: dict[str, str | None] = {"a": text, **{f"n{i}": t for i, t in enumerate(strange)}, "z": text}
    found = gone_of(texts, cuts=5)
    assert found.select("row_id", "reason", "evidence").rows() == [("z", "exact", text[:160])]


def test_short_texts_stay_whatever_they_share() -> None:
    answer = "<think>two and two</think><answer>4</answer>"
    assert gone_of({"a": answer, "b": answer}).is_empty()


def test_what_left_before_is_not_looked_at() -> None:
    given = tables({"a": prose(50), "b": prose(50), "c": prose(50)})
    dropped, contaminated = (pl.DataFrame({"row_id": [i]}) for i in "ab")
    found = signatures(params=PARAMS, **{**given, "drops": dropped}, contaminated=contaminated)
    assert found["candidate_id"].to_list() == ["c"]


def test_ten_megabytes_in_a_row() -> None:
    long = prose(60, 700_000)
    found = gone_of({"a": long, "b": changed(long, 0.02, 1), "c": "x" * 10_000_000, "d": prose(61)})
    assert found["row_id"].to_list() == ["b"]


def test_nothing_in_nothing_out() -> None:
    assert gone_of({"a": prose(70)}).is_empty()
    given = tables({"a": prose(70)})
    none = signatures(params=PARAMS, **{n: t.head(0) for n, t in given.items()})
    assert duplicates(params=PARAMS, signatures=none).is_empty()


def test_a_band_in_common_is_not_enough() -> None:
    rng = np.random.default_rng(0)
    signature = rng.integers(0, 1 << 16, (3, 112)).astype(np.uint16)
    signature[1, :7] = signature[0, :7]
    signature[2, :100] = signature[0, :100]
    assert clusters(signature, rows=7, similarity=0.8).tolist() == [0, 1, 0]


def test_the_estimate_is_that_of_the_sets() -> None:
    text = prose(80, 400)
    copies = [changed(text, 0.05, seed) for seed in range(40)]
    found, _, _ = signed(pl.Series([text, *copies]), 112, 3)
    true = [_jaccard(text, copy) for copy in copies]
    estimates = (found[1:] == found[0]).mean(axis=1)
    assert abs(estimates.mean() - np.mean(true)) < 0.02


def _jaccard(a: str, b: str) -> float:
    one, other = ({tuple(w[i : i + 3]) for i in range(len(w) - 2)} for w in (a.split(), b.split()))
    return len(one & other) / len(one | other)


def test_texts_of_one_mould_do_not_hide_copies() -> None:
    rng = np.random.default_rng(1)
    half = rng.integers(0, 1 << 16, (2_000, 112)).astype(np.uint16)
    half[:, :7] = 3
    found = clusters(np.concatenate([half, half]), rows=7, similarity=0.8)
    assert found.tolist() == [*range(2_000)] * 2
