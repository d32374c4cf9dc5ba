"""Weights in buckets: all of them, none larger than asked, one file at a time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training import transfer
from training.transfer import Files, buckets

WEIGHTS = {f"layer.{i}": torch.full((2, 3), float(i)) for i in range(7)} | {"large": torch.zeros(100)}
SIZE = 24  # bytes of a small one


def test_every_parameter_is_in_one_bucket_and_no_bucket_is_too_large() -> None:
    found = [dict(bucket) for bucket in buckets(iter(WEIGHTS.items()), 3 * SIZE)]
    assert [list(b) for b in found] == [
        ["layer.0", "layer.1", "layer.2"],
        ["layer.3", "layer.4", "layer.5"],
        ["layer.6"],
        ["large"],
    ]
    assert {n: w for b in found for n, w in b.items()} == WEIGHTS
    assert [list(b) for b in buckets(WEIGHTS, 10 * SIZE)] == [list(WEIGHTS)[:7], ["large"]]


def test_one_file_exists_at_a_time_and_what_was_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MEMORY", tmp_path / "none")
    read: dict[str, torch.Tensor] = {}
    for path in Files(tmp_path).parcels(WEIGHTS.items(), 2 * SIZE):
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        read |= load_file(path)  # mapped, not copied: an engine may keep it until its layer is whole
    assert list(tmp_path.iterdir()) == []
    assert read.keys() == WEIGHTS.keys()
    assert all(torch.equal(read[n], WEIGHTS[n]) for n in WEIGHTS)


def test_a_bucket_asks_for_no_parameter_of_the_next(tmp_path: Path) -> None:
    """So much memory is needed as a bucket takes: nothing is gathered before its turn."""
    asked = []

    def gathered() -> Any:
        for name, weight in WEIGHTS.items():
            asked.append(name)
            yield name, weight

    files = Files(tmp_path).parcels(gathered(), 2 * SIZE)
    next(files)
    assert asked == ["layer.0", "layer.1", "layer.2"], "and the one that did not fit"
    files.close()
