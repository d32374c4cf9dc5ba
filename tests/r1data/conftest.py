"""A fake model server, for all tests of generation."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.stand_in import character_tokenizer
from r1data.generate.server import Server, start_server
from r1data.manifest import Manifest
from r1data.storage import Lake


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What looks like a model folder; the tokenizer is real."""
    folder = tmp_path_factory.mktemp("model")
    character_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def server(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One fake server for the session."""
    import sys

    found = start_server(model_folder, "fake", sys.executable, tmp_path_factory.mktemp("log") / "fake.log")
    yield found
    found.stop()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def model() -> Manifest:
    """A checkpoint's identity."""
    return Manifest(kind="checkpoint", name="t/m", path="data/m/k", key="k", step="s", version="1", digest="d1")
