"""What flows and their operation read from the environment, and what Prefect reads there at its import."""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from r1data.telemetry import switch_off

HEARTBEAT_S = 30  # how often a flow run says that it lives; Prefect's own figure is 180


def defaults(home: Path, environ: MutableMapping[str, str] | None = None) -> None:
    """Set what is not set yet: Prefect's files below `home`, which is made, no telemetry, a heartbeat."""
    found = os.environ if environ is None else environ
    switch_off(found)
    for key, value in {
        "PREFECT_HOME": str(home),
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),  # PREFECT_HOME does not move it
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    }.items():
        found.setdefault(key, value)
    # Prefect makes the folder but not its parents, and without it retries for minutes
    Path(found["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Operations:
    """Where `make up` keeps its state and data, the port of the interface, how many `gpu` tasks run at a time.

    `database` is the URL of a PostgreSQL of others; `notify` names a block of Prefect that tells a person, such as
    `slack-webhook/night`. `lake_web` is where a browser finds the files of the lake, for links in artifacts. The reaper
    looks every `reap_every_s` and takes a run for dead after `reap_silent_s`, one that a worker took and never began
    after `reap_pending_s`.
    """

    folder: Path
    port: int = 4200
    gpu_tasks: int = 2
    database: str | None = None
    notify: str | None = None
    lake_web: str | None = None
    reap_every_s: float = 30.0
    reap_silent_s: float = 3.0 * HEARTBEAT_S
    reap_pending_s: float = 600.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Operations":
        """From R1_UP, R1_UI_PORT, R1_GPU_TASKS, R1_NOTIFY, R1_LAKE_WEB, R1_REAP_EVERY_S, R1_REAP_SILENT_S,
        R1_REAP_PENDING_S and PREFECT_API_DATABASE_CONNECTION_URL.
        """
        env = os.environ if environ is None else environ
        return cls(
            folder=Path(env.get("R1_UP", ".up")).absolute(),
            port=int(env.get("R1_UI_PORT", "4200")),
            gpu_tasks=int(env.get("R1_GPU_TASKS", "2")),
            database=env.get("PREFECT_API_DATABASE_CONNECTION_URL") or None,
            notify=env.get("R1_NOTIFY") or None,
            lake_web=env.get("R1_LAKE_WEB") or None,
            reap_every_s=float(env.get("R1_REAP_EVERY_S", "30")),
            reap_silent_s=float(env.get("R1_REAP_SILENT_S", str(3 * HEARTBEAT_S))),
            reap_pending_s=float(env.get("R1_REAP_PENDING_S", "600")),
        )
