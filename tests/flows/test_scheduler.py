"""A real Prefect server in this environment turns an active cron into scheduled runs.

SQLAlchemy 2.1 stops that silently: the server boots, the interface works, and no run is ever scheduled.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.prefect_server import post

SCHEDULED_S = 90.0
RUNS = 3


@pytest.mark.slow
def test_an_active_cron_yields_scheduled_runs(prefect_server: tuple[str, Path]) -> None:
    api, log = prefect_server
    flow = post(f"{api}/flows/", {"name": "nightly"})
    schedule = {"schedule": {"cron": "0 2 * * *", "timezone": "UTC"}, "active": True}
    deployment = post(
        f"{api}/deployments/", {"name": "nightly", "flow_id": flow["id"], "schedules": [schedule], "paused": False}
    )
    wanted = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    end = time.monotonic() + SCHEDULED_S
    runs: list[Any] = []
    while len(runs) < RUNS and time.monotonic() < end:
        time.sleep(1)
        runs = post(f"{api}/flow_runs/filter", wanted)
    assert len(runs) >= RUNS, f"{len(runs)} scheduled runs; the server said: {log.read_text(errors='replace')[-2000:]}"
