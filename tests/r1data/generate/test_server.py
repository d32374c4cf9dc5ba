"""The cluster file says how servers are started; a wrong one is named with its line or field."""

from dataclasses import replace
from pathlib import Path

import pytest

from r1data.cluster_params import EngineParams
from r1data.errors import RecipeError
from r1data.generate.server import _arguments, _devices
from r1data.recipe import load_cluster, load_recipe
from r1data.run import on_cluster
from r1data.settings import Settings

FILE = """
ranks = 4
[engine]
servers = 2
tensor_parallel = 2
data_parallel = 3
dtype = "bfloat16"
eager = false
arguments = ["--max-model-len", "32768"]
"""


def test_the_cluster_file_stands_in_for_the_recipes(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text(FILE)
    settings = replace(Settings.from_environment({}), cluster=tmp_path / "cluster.toml")
    recipe = load_recipe("demo")
    found = on_cluster(recipe, settings)
    assert (found.cluster.ranks, found.cluster.engine.count) == (4, 2)
    assert found.model_copy(update={"cluster": recipe.cluster}) == recipe, "nothing else"
    told = " ".join(_arguments(Path("m"), "vllm", 8000, found.cluster.engine))
    assert "--tensor-parallel-size 2 --data-parallel-size 3" in told
    assert "--dtype bfloat16" in told
    assert "--max-model-len 32768" in told
    assert "--enforce-eager" not in told


def test_every_server_gets_devices_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    params = EngineParams(servers=2, tensor_parallel=2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [_devices(params, i)["CUDA_VISIBLE_DEVICES"] for i in range(2)] == ["0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert [_devices(params, i)["CUDA_VISIBLE_DEVICES"] for i in range(2)] == ["4,5", "6,7"]
    assert _devices(EngineParams(), 0) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "No such file"), ("ranks = ", "Invalid value"), ("[engine]\nserver = 2", "did you mean 'servers'")],
    ids=["missing", "torn", "unknown key"],
)
def test_a_wrong_cluster_file_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "cluster.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=says) as caught:
        load_cluster(path)
    assert "cluster.toml" in str(caught.value)
