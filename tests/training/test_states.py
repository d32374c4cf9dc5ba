"""Saved states: the last two are kept, and a torn one does not count."""

from pathlib import Path

from training.states import folder_of, last_whole, publish


def save(scratch: Path, step: int) -> Path:
    final = folder_of(scratch, step)
    beside = final.with_name(f".{final.name}")
    (beside / "state").mkdir(parents=True)
    (beside / "state" / "weights.pt").write_bytes(b"w" * 100)
    publish(beside, final)
    return final


def test_newest_is_taken_and_two_are_kept(tmp_path: Path) -> None:
    saved = [save(tmp_path, step) for step in (1, 2, 3)]
    assert last_whole(tmp_path) == saved[2]
    assert [p.exists() for p in saved] == [False, True, True]


def test_torn_state_is_passed_over(tmp_path: Path) -> None:
    older, newer = save(tmp_path, 1), save(tmp_path, 2)
    (newer / "state" / "weights.pt").write_bytes(b"w" * 50)
    assert last_whole(tmp_path) == older


def test_state_without_its_list_is_passed_over(tmp_path: Path) -> None:
    (folder_of(tmp_path, 1) / "state").mkdir(parents=True)
    assert last_whole(tmp_path) is None


def test_unfinished_save_is_invisible(tmp_path: Path) -> None:
    (tmp_path / ".state-0000004").mkdir()
    assert last_whole(tmp_path) is None


def test_same_step_is_saved_again(tmp_path: Path) -> None:
    save(tmp_path, 1)
    assert last_whole(tmp_path) == save(tmp_path, 1)
