"""Usage reports of the packages that we use: off, unless the user has set a variable. The entry points call `off()`.

docs/operations.md says which variable is whose.
"""

import os
from collections.abc import MutableMapping

OFF = {
    "DO_NOT_TRACK": "1",  # Prefect's clients, vLLM, huggingface_hub
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "false",  # Great Expectations before 1.24; later ones have none
    "RAY_USAGE_STATS_ENABLED": "0",
}


def off(environ: MutableMapping[str, str] | None = None) -> None:
    """Set every variable that is not set yet; before the packages are imported, and for processes started later."""
    found = os.environ if environ is None else environ
    for name, value in OFF.items():
        found.setdefault(name, value)
