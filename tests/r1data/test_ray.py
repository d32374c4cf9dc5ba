"""A recipe that names a Ray cluster: what is checked before anything runs, and what its nodes are told."""

import socket
from pathlib import Path

import pytest

from r1data.cluster_params import ClusterParams
from r1data.errors import ClusterUnavailable, RecipeError
from r1data.launch import on_nodes
from r1data.manifest import Shard
from r1data.mapping import MapWork
from r1data.params import Params
from r1data.ray_address import require_answer
from r1data.ray_params import RayParams
from r1data.recipe import SHIPPED, load_recipe
from r1data.run import Session
from r1data.settings import Settings
from r1data.step import Node, Step


def test_a_cluster_that_does_not_answer_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('kind = "ray"\nrollouts = "in_process"\n[ray]\naddress = "127.0.0.1:1"\n')
    settings = Settings.from_environment({"R1_CLUSTER": str(cluster), "R1_ENGINE": "fake"}, str(tmp_path / "lake"))
    with pytest.raises(ClusterUnavailable, match=r"address = '127\.0\.0\.1:1': does not answer") as told:
        Session("smoke", settings).__enter__()
    assert "ray start --head" in told.value.remedy


def test_what_answers_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        require_answer(RayParams(address=place, jobs=f"http://{place}/"))
        with pytest.raises(ClusterUnavailable, match=r"jobs = 'http://127\.0\.0\.1:1'"):
            require_answer(RayParams(address=place, jobs="http://127.0.0.1:1"))
    require_answer(RayParams(address="auto"))


@pytest.mark.parametrize("address", ["head", "head:", "http://head", ":6379"])
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(RecipeError, match="is no address"):
        require_answer(RayParams(address=address))


def test_trainings_on_a_cluster_cannot_use_servers_on_loopback() -> None:
    with pytest.raises(ValueError, match="in_process"):
        ClusterParams(kind="ray")
    ClusterParams.model_validate({"kind": "ray", "engine": {"urls": ["http://served:8000"]}})


def test_where_nodes_find_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    assert on_nodes(str(SHIPPED / "smoke.toml"), str(tmp_path)) == "smoke"
    assert on_nodes(str(tmp_path / "mine.toml"), str(tmp_path)) == "mine.toml"
    assert on_nodes(str(tmp_path / "mine.toml"), "") == str(tmp_path / "mine.toml")
    assert load_recipe("smoke").name == "smoke"


@pytest.mark.parametrize(("shards", "pieces", "sizes"), [(5, 2, [2, 3]), (2, 64, [1, 1]), (1000, 64, None)])
def test_work_is_divided_in_order(shards: int, pieces: int, sizes: list[int] | None) -> None:
    parts = [Shard(path=f"{i}", rows=1, bytes=1, sha256="", digest="", key=f"{i}") for i in range(shards)]
    node = Node("n", "s", Step("n", "1", "map", None), Params())
    found = MapWork(node, tuple({"rows": part} for part in parts), {}).divided(pieces)
    assert [shard["rows"] for piece in found for shard in piece.shards] == parts
    assert len(found) == min(shards, pieces)
    assert sizes is None or [len(piece.shards) for piece in found] == sizes
