"""Warm servers, one an architecture: a checkpoint of a known architecture is loaded into the running one in a moment.

A server is held by one node at a time.
After a load the probe log-probs in the checkpoint's manifest are compared: stale weights are silent otherwise.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from r1data.cluster_params import EngineParams
from r1data.digest import digest_json
from r1data.endpoint import Endpoint, served_name
from r1data.errors import EndpointError, ModelError, R1Error, RunStopped
from r1data.generate.router import Backend
from r1data.generate.server import SERVED_NAME, Engine, Server, start_server
from r1data.generate.weights import is_paused, prompt_logprobs, update_weights
from r1data.manifest import Manifest
from r1data.model_folder import checked_model
from r1data.storage import Lake

TOLERANCE = 1e-3
STARTS = 5
_VOLATILE = ("torch_dtype", "dtype", "transformers_version", "_name_or_path")


@dataclass
class _Warm:
    """A server of ours, or with a URL one of others, and the digest of what it holds."""

    server: Server | None
    url: str
    name: str
    holds: str = ""
    checked: bool = False
    starts: int = 1
    place: int = 0

    def alive(self) -> bool:
        return self.server is None or self.server.alive()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.url, self.name)


@dataclass
class Fleet:
    """The model servers of one run, for threads; a context manager that ends them. `slots` bounds heavy work."""

    lake: Lake
    scratch: Path
    python: str
    engine: Engine
    slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))
    params: EngineParams = field(default_factory=EngineParams)
    report: Callable[[str], None] = lambda _: None
    stopped: threading.Event = field(default_factory=threading.Event)
    servers: dict[str, list[_Warm]] = field(default_factory=dict)

    def __enter__(self) -> "Fleet":
        """Nothing is started before it is needed."""
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        # a server ends with the thread that started it: these threads live as long as the fleet
        self._starters = ThreadPoolExecutor(max_workers=64, thread_name_prefix="server")
        return self

    def __exit__(self, *_: object) -> None:
        """End all servers."""
        self.stop()
        self._starters.shutdown()

    def stop(self) -> None:
        """End all servers now; who holds one gets an `EndpointError`."""
        for architecture in list(self.servers):
            for warm in self.servers.pop(architecture):
                if warm.server:
                    warm.server.stop()

    @contextmanager
    def hold(self, model: Manifest, *, driven: bool = False) -> Iterator[list[Backend]]:
        """Servers with the checkpoint's weights, checked by its probe, for this caller alone.

        One that dies is started anew (five times at most). With `driven` the caller loads weights of its own, so that
        what the servers hold afterwards is unknown.
        """
        folder = self.lake.local_copy([f.path for f in model.files], self.scratch / "models" / model.digest[:16])
        architecture = "given" if self.params.urls else architecture_of(folder)
        with self._locks[architecture], self.slots:
            self._go_on()
            warm = self._loaded(model, folder, architecture)
            try:
                yield [Backend(w.endpoint, partial(self._revived, w, model, folder)) for w in warm]
            finally:
                if driven:
                    for w in warm:
                        w.holds = ""

    def _loaded(self, model: Manifest, folder: Path, architecture: str) -> list[_Warm]:
        found = self.servers.get(architecture) or self._found(model, folder, architecture)
        self.servers[architecture] = found
        for warm in found:
            if not warm.alive():
                self._start_anew(warm, model, folder)
            warm.starts = 1
        list(self._starters.map(lambda w: self._load(w, model, folder), found))
        return found

    def _found(self, model: Manifest, folder: Path, architecture: str) -> list[_Warm]:
        """New servers, or those of others that answer in time."""
        if self.params.urls:
            names = self._starters.map(lambda url: served_name(url, self.params.ready_s), self.params.urls)
            told = list(zip(self.params.urls, names, strict=True))
            found = [_Warm(None, url, name) for url, name in told if name]
            for url in (url for url, name in told if not name):
                self.report(f"server {url} was not ready in {self.params.ready_s:.0f} s, it is left out")
            if not found:
                none = f"none of {', '.join(self.params.urls)} was ready in {self.params.ready_s:.0f} s"
                raise EndpointError(none, "start the servers, or take the urls out of [cluster.engine]")
            return found
        logs = [f"{self.engine}-{architecture}-{i}.log" for i in range(self.params.servers)]
        starting = [
            self._starters.submit(self._start, folder, self.scratch / "logs" / name, i) for i, name in enumerate(logs)
        ]
        wait(starting)
        try:
            made = [f.result() for f in starting]
        except R1Error:
            for server in (f.result() for f in starting if not f.exception()):
                server.stop()
            raise
        return [_Warm(s, s.url, SERVED_NAME, model.digest, place=i) for i, s in enumerate(made)]

    def _start(self, folder: Path, log: Path, place: int) -> Server:
        return start_server(folder, self.engine, self.python, log, self.params, place, self.stopped)

    def _go_on(self) -> None:
        """Whoever waited for its turn while the run was stopped gets none."""
        if self.stopped.is_set():
            raise RunStopped("the run is being stopped", "run again to continue")

    def _start_anew(self, warm: _Warm, model: Manifest, folder: Path) -> None:
        assert warm.server is not None, "servers of others are not started"
        warm.server.stop()
        warm.server = self._starters.submit(self._start, folder, warm.server.log, warm.place).result()
        warm.url, warm.holds, warm.checked = warm.server.url, model.digest, False

    def _load(self, warm: _Warm, model: Manifest, folder: Path) -> None:
        """Give the server the checkpoint's weights unless it has them; the probe says whether it took them."""
        if warm.holds != model.digest:
            # what servers of others hold is known only by the probe
            if warm.server or not model.probe or is_paused(warm.url) or self._gap(warm, model) > TOLERANCE:
                warm.holds = ""
                update_weights(warm.url, folder, model.digest[:16])
            warm.holds, warm.checked = model.digest, False
        gap = 0.0 if warm.checked else self._gap(warm, model)
        if gap > TOLERANCE:
            warm.holds = ""
            raise ModelError(
                f"{model.name}: server and checkpoint differ by {gap:.4f} nats (stale weights)",
                "the server did not take the weights: see its log, or restart it",
            )
        warm.checked = True

    def _revived(self, warm: _Warm, model: Manifest, folder: Path) -> Endpoint:
        """The server again, with its weights, after it died or stalled."""
        told = f"server {warm.url} is gone"
        self._go_on()
        if warm.server is None:
            if not served_name(warm.url, self.params.down_s):
                raise EndpointError(f"{told} for {self.params.down_s:.0f} s", "see why it ended, then run again")
            warm.holds = ""
        else:
            warm.starts += 1
            told += f"; its last lines:\n{warm.server.last_lines()}"
            if warm.starts > STARTS:
                raise EndpointError(f"{told}\nit was started {STARTS} times", f"see {warm.server.log}")
            self.report(f"{told}\nstarts anew")
            self._start_anew(warm, model, folder)
        self._load(warm, model, folder)
        return warm.endpoint

    def _gap(self, warm: _Warm, model: Manifest) -> float:
        """The largest difference to the checkpoint's own log-probs of its probe prompts, in nats."""
        if self.engine == "fake" or not model.probe:
            return 0.0
        gaps = [0.0]
        for ids, expected in zip(model.probe["prompts"], model.probe["logprobs"], strict=True):
            found = prompt_logprobs(warm.url, warm.name, ids)
            gaps += [abs(a - b) for a, b in zip(found, expected, strict=True)]
        return max(gaps)


def architecture_of(folder: Path) -> str:
    """The digest of what a server must be started anew for; `ModelError` if the folder is no model."""
    try:
        config = json.loads((checked_model(folder) / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as e:
        raise ModelError(f"{folder}/config.json is not JSON: {e}", "restore the file") from e
    return digest_json({k: v for k, v in config.items() if k not in _VOLATILE})[:12]
