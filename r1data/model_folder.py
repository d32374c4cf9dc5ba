"""What a folder must hold to be a model: a config, a tokenizer and weights, in one file or several."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from r1data.errors import ModelError, boundary

NEEDED = ("config.json", "tokenizer.json")
WEIGHTS = "*.safetensors"
MISFIT = "weights that do not fit the model"
TOLD = 3
Shapes = Mapping[str, tuple[int, ...]]
INDEX = "model.safetensors.index.json"  # of weights in several files: where each tensor is


def checked_model(folder: Path, remedy: str = "") -> Path:
    """The folder, if it holds what a model folder must; else `ModelError` with what is missing."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not weight_files(folder):
        missing.append(WEIGHTS)
    missing += [f"{name} of {INDEX}" for name in _listed(folder / INDEX) if not (folder / name).is_file()]
    if missing:
        needed = f"it needs {', '.join((*NEEDED, WEIGHTS))}"
        raise ModelError(f"{folder} is no model folder: no {', '.join(missing)}", remedy or needed)
    return folder


def weight_files(path: Path) -> list[Path]:
    """The weights of a model folder, or the file itself."""
    return sorted(path.glob(WEIGHTS)) if path.is_dir() else [path]


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a model folder or a file, read from the headers alone."""
    found: dict[str, tuple[int, ...]] = {}
    for file in weight_files(path):
        with boundary(ModelError, f"{file} is no safetensors file", "write it again"), file.open("rb") as f:
            (size,) = struct.unpack("<Q", f.read(8))
            header = json.loads(f.read(size))
        found |= {name: tuple(told["shape"]) for name, told in header.items() if name != "__metadata__"}
    return found


def misfits(given: Shapes, expected: Shapes) -> str:
    """The first of the tensors given whose shape is not the model's, with both; empty where all of them fit."""
    wrong = [n for n in given if n in expected and tuple(given[n]) != tuple(expected[n])]
    told = [f"{n} is {list(given[n])}, the model's is {list(expected[n])}" for n in wrong[:TOLD]]
    return "; ".join(told) + (f" (and {len(wrong) - TOLD} more)" if len(wrong) > TOLD else "")


def _listed(index: Path) -> list[str]:
    """The files that an index names, if there is one."""
    if not index.is_file():
        return []
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ModelError(
            f"{index} is no index of weights: {type(e).__name__}: {e}", "take it from the model again"
        ) from e
