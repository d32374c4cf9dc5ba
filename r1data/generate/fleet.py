"""Warm servers, one an architecture: a checkpoint of a known architecture is loaded into the running one in a moment.

A server is held by one node at a time.
After a load the probe log-probs in the checkpoint's manifest are compared: stale weights are silent otherwise.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from r1data.digest import digest_json
from r1data.endpoint import Endpoint
from r1data.errors import ModelError
from r1data.generate.server import SERVED_NAME, Engine, Server, start_server
from r1data.generate.weights import prompt_logprobs, update_weights
from r1data.manifest import Manifest
from r1data.model_folder import checked_model
from r1data.storage import Lake

TOLERANCE = 1e-3
_VOLATILE = ("torch_dtype", "dtype", "transformers_version", "_name_or_path")


@dataclass
class _Warm:
    server: Server
    holds: str


@dataclass
class Fleet:
    """The model servers of one run, for threads; a context manager that ends them. `slots` bounds heavy work."""

    lake: Lake
    scratch: Path
    python: str
    engine: Engine
    slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))
    servers: dict[str, _Warm] = field(default_factory=dict)

    def __enter__(self) -> "Fleet":
        """Nothing is started before it is needed."""
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        # a server ends with the thread that started it: these threads live as long as the fleet
        self._starters = ThreadPoolExecutor(thread_name_prefix="server")
        return self

    def __exit__(self, *_: object) -> None:
        """End all servers."""
        self.stop()
        self._starters.shutdown()

    def stop(self) -> None:
        """End all servers now; who holds one gets an `EndpointError`."""
        for architecture in list(self.servers):
            self.servers.pop(architecture).server.stop()

    @contextmanager
    def hold(self, model: Manifest, *, driven: bool = False) -> Iterator[Endpoint]:
        """A server with the checkpoint's weights, checked by its probe, for this caller alone.

        With `driven` the caller loads weights of its own, so that what the server holds afterwards is unknown.
        """
        folder = self.lake.local_copy([f.path for f in model.files], self.scratch / "models" / model.digest[:16])
        architecture = architecture_of(folder)
        with self._locks[architecture], self.slots:
            warm = self._loaded(model, folder, architecture)
            try:
                yield Endpoint(warm.server.url, SERVED_NAME)
            finally:
                if driven:
                    warm.holds = ""

    def _loaded(self, model: Manifest, folder: Path, architecture: str) -> _Warm:
        warm = self.servers.get(architecture)
        if warm is None or not warm.server.alive():
            log = self.scratch / "logs" / f"{self.engine}-{architecture}.log"
            server = self._starters.submit(start_server, folder, self.engine, self.python, log).result()
            warm = _Warm(server, model.digest)
            self.servers[architecture] = warm
            self._probe(warm, model)
        elif warm.holds != model.digest:
            warm.holds = ""
            update_weights(warm.server.url, folder, model.digest[:16])
            self._probe(warm, model)
            warm.holds = model.digest
        return warm

    def _probe(self, warm: _Warm, model: Manifest) -> None:
        if self.engine == "fake" or not model.probe:
            return
        for ids, expected in zip(model.probe["prompts"], model.probe["logprobs"], strict=True):
            found = prompt_logprobs(warm.server.url, SERVED_NAME, ids)
            gap = max((abs(a - b) for a, b in zip(found, expected, strict=True)), default=0.0)
            if gap > TOLERANCE:
                raise ModelError(
                    f"{model.name}: server and checkpoint differ by {gap:.4f} nats (stale weights)",
                    "the server did not take the weights: see its log, or restart it",
                )


def architecture_of(folder: Path) -> str:
    """The digest of what a server must be started anew for; `ModelError` if the folder is no model."""
    try:
        config = json.loads((checked_model(folder) / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as e:
        raise ModelError(f"{folder}/config.json is not JSON: {e}", "restore the file") from e
    return digest_json({k: v for k, v in config.items() if k not in _VOLATILE})[:12]
