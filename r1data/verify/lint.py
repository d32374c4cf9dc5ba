"""Whether a linter accepts a program: ruff's own rules, all programs of a batch in one run. Nothing is executed."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ruff import find_ruff_bin

SECONDS = 60.0


def lints(programs: Sequence[str]) -> list[bool | None]:
    """For each program whether ruff has nothing against it; None where ruff itself failed."""
    if not programs:
        return []
    with tempfile.TemporaryDirectory(prefix="r1-lint-") as folder:
        for i, program in enumerate(programs):
            (Path(folder) / f"program_{i}.py").write_text(program, encoding="utf-8", errors="replace")
        command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--quiet", "--output-format", "json", folder]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=folder)
            blamed = {Path(fault["filename"]).name for fault in json.loads(ran.stdout)}
        except (subprocess.TimeoutExpired, ValueError):
            # one program that breaks the linter must not take the others with it
            return [None] if len(programs) == 1 else [found for p in programs for found in lints([p])]
    return [f"program_{i}.py" not in blamed for i in range(len(programs))]
