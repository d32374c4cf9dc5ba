"""What goes wrong in a run as its user meets it: one clear error, exit status 1, and a lake that can be read."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from r1data.manifest import MANIFEST
from r1data.recipe import SHIPPED
from r1data.refs import resolve
from r1data.storage import Lake
from tests.running import COMMAND, digests, ended, environment, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(("kib", "told"), [(2, "no space left"), (24, "training state could not be saved")])
def test_no_space_left_then_space_again(finished: Lake, tmp_path: Path, kib: int, told: str) -> None:
    """A limit on the size of a file: the lake's own first, then a training state's."""
    lake, scratch = str(tmp_path / "lake"), tmp_path / "scratch"
    arguments = ["run", "smoke", "--stage", "foundations"]
    full = ["bash", "-c", f'ulimit -f {kib}; exec "$@"', "-", sys.executable, "-c", COMMAND, *arguments]
    done = subprocess.run(
        [*full, "--lake", lake], env=environment(scratch), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "remedy: " in done.stderr
    assert "Traceback" not in done.stderr
    assert run(["verify"], lake, scratch).rstrip().endswith("0 faults")
    run(arguments, lake, scratch)
    there = Lake.open(lake)
    assert digests(there).items() <= digests(finished).items()


def flip_a_bit(lake: Lake) -> None:
    shard = Path(lake.path(resolve(lake, "smoke/cold_start/candidates").shards[0].path))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)


def lose_a_manifest(lake: Lake) -> None:
    """Of a dataset whose directory is there: for readers it does not exist, and it is made again."""
    Path(lake.path(f"{resolve(lake, 'smoke/cold_start/candidates').path}/{MANIFEST}")).unlink()


@pytest.mark.parametrize(
    ("damage", "status", "told"),
    [(flip_a_bit, 1, "cold_start/candidates"), (lose_a_manifest, 0, "cold_start/candidates: generate (call)")],
)
def test_damaged_input_of_a_stage(
    finished: Lake, tmp_path: Path, damage: Callable[[Lake], None], status: int, told: str
) -> None:
    place = str(tmp_path / "lake")
    shutil.copytree(finished.root, place)
    damage(Lake.open(place))
    recipe = tmp_path / "other.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    recipe.write_text(text.replace("[cold_start]", "[cold_start]\ngate = { repetition = 0.45 }"), encoding="utf-8")
    found, out = ended(["run", str(recipe), "--stage", "cold_start"], place, tmp_path / "scratch")
    assert found == status, out[-2000:]
    assert told in out
    assert "Traceback" not in out
    assert run(["show", "smoke/zero"], place, tmp_path / "scratch")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    folder, recipe = tmp_path / "model", tmp_path / "other.toml"
    folder.mkdir()
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    start, end = text.index("[base.pretrain]"), text.index("[student.pretrain]")
    recipe.write_text(f'{text[:start]}[base]\npath = "{folder}"\n\n{text[end:]}', encoding="utf-8")
    lake = str(tmp_path / "lake")
    status, out = ended(["run", str(recipe), "--stage", "foundations"], lake, tmp_path / "scratch")
    assert status == 1
    assert f"{folder} is no model folder: no config.json" in out
    assert "Traceback" not in out
    assert "smoke/problems" in run(["status"], lake, tmp_path / "scratch")
