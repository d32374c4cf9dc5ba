"""The one place that reads the environment. Entry points call `Settings.from_environment()` and pass it down."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """Where the lake is, where scratch files go, which interpreter runs the GPU side.

    `sandbox` is `none` where model-written code may run with limits only, since the machine gives no isolation.
    `cluster` is a TOML file that stands in for the recipe's [cluster]; `lease` says what to do when another run works
    on the same.
    """

    lake: str
    scratch: Path
    python: str
    engine: Literal["vllm", "fake"]
    teacher_key: str | None = field(default=None, repr=False)
    sandbox: Literal["safe", "none"] = "safe"
    cluster: Path | None = None
    lease: Literal["wait", "refuse"] = "wait"
    openlineage_key: str | None = field(default=None, repr=False)
    prefect_api: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, lake: str | None = None) -> "Settings":
        """From R1_LAKE, R1_SCRATCH, R1_PYTHON, R1_ENGINE, R1_SANDBOX, R1_CLUSTER, R1_LEASE and two secrets:
        R1_TEACHER_KEY, R1_OPENLINEAGE_KEY; and PREFECT_API_URL, which only `r1 doctor` asks for.
        """
        env = os.environ if environ is None else environ
        return cls(
            lake=lake or env.get("R1_LAKE", "./lake"),
            scratch=Path(env.get("R1_SCRATCH", ".scratch")).absolute(),
            python=env.get("R1_PYTHON", sys.executable),
            engine="fake" if env.get("R1_ENGINE") == "fake" else "vllm",
            teacher_key=(env.get("R1_TEACHER_KEY") or "").strip() or None,
            sandbox="none" if env.get("R1_SANDBOX") == "none" else "safe",
            cluster=Path(env["R1_CLUSTER"]) if env.get("R1_CLUSTER") else None,
            lease="refuse" if env.get("R1_LEASE") == "refuse" else "wait",
            openlineage_key=(env.get("R1_OPENLINEAGE_KEY") or "").strip() or None,
            prefect_api=env.get("PREFECT_API_URL") or None,
        )
