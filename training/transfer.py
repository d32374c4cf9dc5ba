"""Weights on their way to an engine: a stream of parameters, in files of bounded size that both processes see.

One file exists at a time, written from as many parameters in memory: beside the trainer's own, a transfer takes twice a
bucket, or twice the largest parameter where that is larger.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from r1data.digest import row_id

Weights = Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]]
MEMORY = Path("/dev/shm")


def pairs(weights: Weights) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of each parameter, in the order of the model."""
    yield from weights.items() if isinstance(weights, Mapping) else weights


def buckets(weights: Weights, most: int) -> Iterator[dict[str, torch.Tensor]]:
    """Parameters in rows of at most `most` bytes; a larger one comes alone.

    A bucket is emptied when the next is asked for: who wants to keep one copies it.
    """
    held: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in pairs(weights):
        if held and size + tensor.nbytes > most:
            yield held
            held.clear()
            size = 0
        held[name] = tensor
        size += tensor.nbytes
    if held:
        yield held


def bucket_files(weights: Weights, most: int, scratch: Path, rank: int, *, shared: bool = False) -> Generator[Path]:
    """Each bucket as a safetensors file, gone when the next is asked for.

    In main memory where this machine has that as a file system; in `scratch` if engines on other machines read it.
    """
    folder = MEMORY if MEMORY.is_dir() and not shared else scratch
    path = folder / f"r1-weights-{row_id(str(scratch))}-{rank}.safetensors"
    try:
        for bucket in buckets(weights, most):
            # engines may still map the last one: a new file, never new bytes in an old one
            path.unlink(missing_ok=True)
            save_file({n: w.contiguous() for n, w in bucket.items()}, str(path))
            bucket.clear()
            yield path
    finally:
        path.unlink(missing_ok=True)
