"""One model server as a process of ours: on a free loopback port, watched until ready, ended with its children."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from r1data.child import tied
from r1data.cluster_params import EngineParams
from r1data.endpoint import wait_healthy
from r1data.errors import ModelError, RunStopped
from r1data.telemetry import SWITCHES

Engine = Literal["vllm", "fake"]
SERVED_NAME = "policy"
DEFAULT = EngineParams()
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
VLLM_FLAGS = (
    *("--seed", "0"),
    *("--logprobs-mode", "processed_logprobs", "--weight-transfer-config", '{"backend":"r1"}'),
    *("--worker-extension-cls", "training.vllm_ext.WorkerExtension", "--generation-config", "vllm"),
    "--disable-uvicorn-access-log",
    # a seeded request whose prompt is split over two batches kills the engine on CPU (Generator without offset)
    "--no-enable-chunked-prefill",
)


@dataclass
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def last_lines(self, number: int = 12) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-number:]) if self.log.exists() else ""

    def stop(self) -> None:
        """End it and its children: SIGTERM to the group, SIGKILL after five seconds."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                continue


def start_server(
    model: Path,
    engine: Engine,
    python: str,
    log: Path,
    params: EngineParams = DEFAULT,
    place: int = 0,
    stopped: threading.Event | None = None,
) -> Server:
    """Start a server of a model folder and wait until it is ready; else `ModelError` with its last log lines.

    `place` is its number among several, each of which gets devices of its own.
    """
    port = _free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    # SIGTERM: vLLM has processes of its own to end
    command = tied([python, *_arguments(model, engine, port, params)], signal.SIGTERM)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**SWITCHES, **os.environ, **ENVIRONMENT, **_devices(params, place)},
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    stop = stopped or threading.Event()
    if not wait_healthy(server.url, params.ready_s, lambda: server.alive() and not stop.is_set()) or stop.is_set():
        if stop.is_set():
            server.stop()
            raise RunStopped(f"{engine} server of {model}: the run was stopped while it started", "run again")
        state = "did not get ready in time" if server.alive() else f"ended with code {process.returncode}"
        server.stop()
        raise ModelError(f"{engine} server of {model} {state}; its last lines:\n{server.last_lines()}", f"see {log}")
    return server


def _arguments(model: Path, engine: Engine, port: int, params: EngineParams) -> Sequence[str]:
    if engine == "fake":
        return ("-m", "r1data.generate.fake_server", "--model", str(model), "--port", str(port), *params.arguments)
    place = ("--host", "127.0.0.1", "--port", str(port), "--model", str(model), "--served-model-name", SERVED_NAME)
    size = ["--dtype", params.dtype, "--max-num-seqs", str(params.max_num_seqs)]
    size += ["--tensor-parallel-size", str(params.tensor_parallel), "--data-parallel-size", str(params.data_parallel)]
    if params.tensor_parallel * params.data_parallel == 1:
        size += ["--distributed-executor-backend", "uni"]  # one process less to start
    size += ["--enforce-eager"] * params.eager
    return ("-m", "vllm.entrypoints.openai.api_server", *place, *size, *VLLM_FLAGS, *params.arguments)


def _devices(params: EngineParams, place: int) -> dict[str, str]:
    """Which of the visible GPUs a server gets where there are several servers; nothing is said where there is one."""
    if params.servers == 1:
        return {}
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    each = params.tensor_parallel * params.data_parallel
    visible = told.split(",") if told else [str(i) for i in range(params.servers * each)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(visible[place * each : (place + 1) * each])}


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
