"""Warm servers, one an architecture: a checkpoint of a known architecture is loaded into the running one in a moment.

After a load the probe log-probs in the checkpoint's manifest are compared: stale weights are silent otherwise.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from r1data.digest import digest_json
from r1data.endpoint import Endpoint
from r1data.errors import ModelError
from r1data.generate.server import SERVED_NAME, Engine, Server, start_server
from r1data.generate.weights import prompt_logprobs, update_weights
from r1data.manifest import Manifest
from r1data.storage import Lake

NEEDED = ("config.json", "tokenizer.json", "model.safetensors")
TOLERANCE = 1e-3
_VOLATILE = ("torch_dtype", "dtype", "transformers_version", "_name_or_path")


@dataclass
class _Warm:
    server: Server
    holds: str


@dataclass
class Fleet:
    """The model servers of one run; a context manager that ends them."""

    lake: Lake
    scratch: Path
    python: str
    engine: Engine
    servers: dict[str, _Warm] = field(default_factory=dict)

    def __enter__(self) -> "Fleet":
        """Nothing is started before it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all servers."""
        for warm in self.servers.values():
            warm.server.stop()
        self.servers.clear()

    def endpoint_for(self, model: Manifest) -> Endpoint:
        """A server that holds the checkpoint's weights, checked by its probe."""
        folder = self.lake.local_copy([f.path for f in model.files], self.scratch / "models" / model.digest[:16])
        architecture = architecture_of(folder)
        warm = self.servers.get(architecture)
        if warm is None or not warm.server.alive():
            log = self.scratch / "logs" / f"{self.engine}-{architecture}.log"
            warm = _Warm(start_server(folder, self.engine, self.python, log), model.digest)
            self.servers[architecture] = warm
            self._probe(warm, model)
        elif warm.holds != model.digest:
            warm.holds = ""
            update_weights(warm.server.url, folder / "model.safetensors", model.digest[:16])
            self._probe(warm, model)
            warm.holds = model.digest
        return Endpoint(warm.server.url, SERVED_NAME)

    def forget(self, url: str) -> None:
        """A trainer drove this server: its weights are unknown until the next load."""
        for warm in self.servers.values():
            if warm.server.url == url:
                warm.holds = ""

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
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} is no model folder: no {', '.join(missing)}", f"it needs {', '.join(NEEDED)}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as e:
        raise ModelError(f"{folder}/config.json is not JSON: {e}", "restore the file") from e
    return digest_json({k: v for k, v in config.items() if k not in _VOLATILE})[:12]
