"""`kernel`: compile a function to machine code at its first call and keep that for other processes. Imports numba.

numba's own cache looks at the file of the function alone: a constant or a kernel changed in another file would leave
old code in use. So the folder is named by the contents of every file that kernels are made of (`NUMBA_CACHE_DIR`, else
the user's cache).
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., object])
ROOT = Path(__file__).resolve().parents[1]
FILES = ("compiled", "function_words", "prose", "reflection", "scripts", "tokens", "windows", "../steps/repetition")


def kernel(function: Kernel) -> Kernel:
    """The function compiled, cached, and without Python's lock while it runs."""
    compiled: Kernel = numba.njit(cache=True, nogil=True)(function)
    return compiled


def _folder() -> Path:
    told = hashlib.sha256(b"".join((ROOT / "rewards" / f"{name}.py").read_bytes() for name in FILES))
    base = Path(numba.config.CACHE_DIR) if numba.config.CACHE_DIR else Path.home() / ".cache" / "r1data"
    return base / f"kernels-{told.hexdigest()[:16]}"


# at import: each `kernel` takes its folder from here when it is made
numba.config.CACHE_DIR = str(_folder())
