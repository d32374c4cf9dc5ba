"""What a folder must hold to be a model: a config, a tokenizer and weights, in one file or several."""

from pathlib import Path

from r1data.errors import ModelError

NEEDED = ("config.json", "tokenizer.json")
WEIGHTS = "*.safetensors"


def checked_model(folder: Path, remedy: str = "") -> Path:
    """The folder, if it holds what a model folder must; else `ModelError` with what is missing."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not weight_files(folder):
        missing.append(WEIGHTS)
    if missing:
        needed = f"it needs {', '.join((*NEEDED, WEIGHTS))}"
        raise ModelError(f"{folder} is no model folder: no {', '.join(missing)}", remedy or needed)
    return folder


def weight_files(path: Path) -> list[Path]:
    """The weights of a model folder, or the file itself."""
    return sorted(path.glob(WEIGHTS)) if path.is_dir() else [path]
