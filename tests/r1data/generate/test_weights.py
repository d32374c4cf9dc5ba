"""Weights to running servers: whole or not at all for who asks, misfits named with both shapes, the dead left out."""

import json
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from r1data.endpoint import Endpoint
from r1data.errors import EndpointError, ModelError
from r1data.generate import weights
from r1data.generate.client import CompletionRequest, Decoding, completions
from r1data.generate.router import Backend
from r1data.generate.server import Server, start_server
from r1data.generate.weights import is_paused, update_all, update_weights, weight_version
from r1data.model_folder import misfits, weight_shapes

SHAPES = {"embed.weight": (4, 2), "norm.weight": (2,), "head.weight": (4, 2)}
ASKED = [CompletionRequest("User: 1+1=? Assistant: ", 1, 0)]
DECODING = Decoding(1.0, 1.0, 32)


def weights_file(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A safetensors file of zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    told = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(told)) + told + bytes(end))
    return path


@pytest.fixture
def servers(model_folder: Path, tmp_path: Path) -> Iterator[list[Server]]:
    """Two fake servers of one model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes((model_folder / "tokenizer.json").read_bytes())
    weights_file(folder / "model.safetensors", SHAPES)
    found = [start_server(folder, "fake", sys.executable, tmp_path / f"log-{i}") for i in range(2)]
    yield found
    for server in found:
        server.stop()


def parts(folder: Path, changes: Mapping[str, tuple[int, ...]] | None = None) -> Iterator[Path]:
    """The weights, a file each."""
    for name, shape in (SHAPES | dict(changes or {})).items():
        yield weights_file(folder / "part.safetensors", {name: shape})


def test_a_request_waits_for_the_end_of_an_update(servers: list[Server], tmp_path: Path) -> None:
    url = servers[0].url
    found: list[str] = []

    def ask() -> None:
        answers = completions(Endpoint(url, "policy"), ASKED, DECODING)
        found.append(f"{weight_version(url)} {len(answers)}")

    asking = threading.Thread(target=ask)

    def files() -> Iterator[Path]:
        for i, file in enumerate(parts(tmp_path)):
            yield file
            if i == 1:
                asking.start()
                asking.join(1)
                assert is_paused(url)
                assert found == [], "nobody is answered between start and finish"

    assert update_all([url], files(), "v1") == {}
    asking.join(30)
    assert found == ["v1 1"]


def test_misfits_are_named_with_both_shapes_and_the_server_takes_the_right_ones(
    servers: list[Server], tmp_path: Path
) -> None:
    urls = [s.url for s in servers]
    with pytest.raises(ModelError, match=r"norm.weight is \[3\], the model's is \[2\]"):
        update_all(urls, parts(tmp_path, {"norm.weight": (3,)}), "v1")
    with pytest.raises(ModelError, match=r"it has no more\.weight"):
        update_all(urls, parts(tmp_path, {"more.weight": (3,)}), "v1")
    with pytest.raises(ModelError, match=r"missing head\.weight, norm\.weight"):
        update_all(urls, [weights_file(tmp_path / "part", {"embed.weight": (4, 2)})], "v1")
    assert all(is_paused(url) for url in urls), "a mixture of weights answers nobody"
    update_all(urls, parts(tmp_path), "v2")
    assert [(weight_version(url), is_paused(url)) for url in urls] == [("v2", False)] * 2


def test_an_update_that_was_cut_off_does_not_stand_in_the_way(servers: list[Server], tmp_path: Path) -> None:
    url = servers[0].url
    for path in ("/pause", "/start_weight_update"):
        assert httpx.post(url + path, trust_env=False).status_code == 200
    update_weights(url, weights_file(tmp_path / "whole", SHAPES), "v1")
    assert (weight_version(url), is_paused(url)) == ("v1", False)


def test_the_others_get_their_weights_when_one_dies(servers: list[Server], tmp_path: Path) -> None:
    urls = [s.url for s in servers]

    def files(dying: Server) -> Iterator[Path]:
        for i, file in enumerate(parts(tmp_path)):
            if i == 1:
                dying.process.kill()
                dying.process.wait()
            yield file

    assert list(update_all(urls, files(servers[0]), "v1")) == [urls[0]]
    assert weight_version(urls[1]) == "v1"
    with pytest.raises(EndpointError, match="the server has gone"):
        update_all(urls, files(servers[1]), "v2")


def test_a_server_that_never_answers_costs_one_short_question_an_update(
    servers: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "HEALTH_S", 1.0)  # and not DEADLINE_S, which is minutes
    asked: list[bytes] = []

    def accept(hung: socket.socket) -> None:
        held = []
        while connection := hung.accept()[0]:
            held.append(connection)
            asked.append(connection.recv(4096).split(b" HTTP")[0])

    with socket.create_server(("127.0.0.1", 0)) as hung:
        threading.Thread(target=accept, args=(hung,), daemon=True).start()
        url = f"http://127.0.0.1:{hung.getsockname()[1]}"
        for version in ("v1", "v2"):
            assert list(update_all([url, servers[0].url], parts(tmp_path), version)) == [url]
            assert weight_version(servers[0].url) == version
    assert asked == [b"GET /health"] * 2


def test_only_shapes_of_known_names_are_compared(tmp_path: Path) -> None:
    given = {f"{i}.weight": (i,) for i in range(5)} | {"other": (1,)}
    expected = {f"{i}.weight": (7,) for i in range(5)}
    assert misfits(given, expected).endswith("2.weight is [2], the model's is [7] (and 2 more)")
    assert misfits(given, given) == ""
    assert weight_shapes(weights_file(tmp_path / "one", {"a": (2, 3), "b": ()})) == {"a": (2, 3), "b": ()}
    (tmp_path / "torn").write_bytes(b"123")
    with pytest.raises(ModelError, match="no safetensors file"):
        weight_shapes(tmp_path / "torn")


def test_answers_do_not_depend_on_the_server(servers: list[Server]) -> None:
    requests = [CompletionRequest(f"User: {i}+1=? Assistant: ", 4, 10 * i) for i in range(24)]
    one = completions(Endpoint(servers[0].url, "policy"), requests, DECODING)
    backends = [Backend(Endpoint(s.url, "policy")) for s in servers]
    assert completions(backends, requests, DECODING) == one
    assert all(b.answers for b in backends), "both were asked"
