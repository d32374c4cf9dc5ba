"""A lock that a killed process left is removed; one that is held stays."""

from pathlib import Path

import pytest

from training.builds import free_abandoned_locks


def test_only_abandoned_locks_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    held, left = tmp_path / "py311_cpu" / "one" / "lock", tmp_path / "py311_cpu" / "two" / "lock"
    for path in (held, left):
        path.parent.mkdir(parents=True)
    left.touch()
    with held.open("w"):
        assert free_abandoned_locks() == [left]
    assert held.exists()
    assert not left.exists()
