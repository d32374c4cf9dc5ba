"""Saved states in the scratch folder: written beside, listed, renamed; the last two kept; a torn one does not count."""

import json
import shutil
from pathlib import Path

KEPT = 2
LISTING = "files.json"


def folder_of(scratch: Path, step: int) -> Path:
    """Where the state after a step goes."""
    return scratch / f"state-{step:07d}"


def publish(beside: Path, final: Path) -> None:
    """List a finished folder's files with their sizes, rename it into place, delete all but the last two."""
    (beside / LISTING).write_text(json.dumps(_sizes(beside)), encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    beside.rename(final)
    for old in sorted(final.parent.glob("state-*"))[:-KEPT]:
        shutil.rmtree(old)


def last_whole(scratch: Path) -> Path | None:
    """The newest state whose files are all there in full."""
    for folder in sorted(scratch.glob("state-*"), reverse=True):
        listing = folder / LISTING
        if not listing.is_file():
            continue
        try:
            listed = json.loads(listing.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            continue
        if listed == _sizes(folder):
            return folder
    return None


def _sizes(folder: Path) -> dict[str, int]:
    found = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != LISTING)
    return {str(p.relative_to(folder)): p.stat().st_size for p in found}
