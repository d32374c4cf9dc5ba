"""Weights on their way to an engine: a stream of parameters, in files of bounded size that both processes see.

One file exists at a time, written from as many parameters in memory: beside the trainer's own, a transfer takes twice a
bucket, or twice the largest parameter where that is larger. Other ways than files are in `groups`.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from r1data.digest import row_id
from r1data.generate.weights import InFiles

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


class Files(InFiles):
    """The trainer's end of the way for `update_all` through files; `shared`: servers on other machines read them.

    In main memory where this machine has that as a file system and no other must read them; else in `scratch`.
    """

    device = "cpu"

    def __init__(self, scratch: Path, *, shared: bool = False) -> None:
        folder = MEMORY if MEMORY.is_dir() and not shared else scratch
        self.path = folder / f"r1-weights-{row_id(str(scratch))}.safetensors"

    def parcels(self, weights: Weights, most: int) -> Generator[Path]:
        """Each bucket of at most `most` bytes as a file, gone when the next is asked for."""
        try:
            for bucket in buckets(weights, most):
                # engines may still map the last one: a new file, never new bytes in an old one
                self.path.unlink(missing_ok=True)
                save_file({n: w.contiguous() for n, w in bucket.items()}, str(self.path))
                bucket.clear()
                yield self.path
        finally:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is left."""
