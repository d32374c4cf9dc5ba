"""PyTorch's lock on an operator's build outlives a killed process, and whoever comes next waits for it for ever."""

import os
from contextlib import suppress
from pathlib import Path

from torch.utils.cpp_extension import get_default_build_root


def free_abandoned_locks() -> list[Path]:
    """Remove the locks of builds that no living process holds open; those removed."""
    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    locks = [path.resolve() for path in root.glob("**/lock")]
    held = _open_files() if locks else set[Path]()
    abandoned = [path for path in locks if path not in held]
    for path in abandoned:
        path.unlink(missing_ok=True)
    return abandoned


def _open_files() -> set[Path]:
    """What the processes of this user have open."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            found.add(link.readlink())
    return found
