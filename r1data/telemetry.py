"""Telemetry of dependencies is off unless the user sets its variable: what each of them reads, and the one place that
sets it.

`docs/decisions.md` says which of them send something, and how that was seen.
"""

import os
from collections.abc import Mapping, MutableMapping

SWITCHES = {
    "DO_NOT_TRACK": "1",  # Prefect's client, Hugging Face hub, vLLM
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "false",  # Great Expectations
    "RAY_USAGE_STATS_ENABLED": "0",
}


def switch_off(environ: MutableMapping[str, str] | None = None) -> None:
    """Set every switch that is not set. To be called before a dependency is imported; child processes inherit it."""
    env = os.environ if environ is None else environ
    for name, value in SWITCHES.items():
        env.setdefault(name, value)


def switched_on(environ: Mapping[str, str] | None = None) -> list[str]:
    """The switches, as NAME=VALUE, that somebody has set to another value than ours."""
    env = os.environ if environ is None else environ
    return [f"{name}={env[name]}" for name, value in SWITCHES.items() if env.get(name, value).lower() != value]
