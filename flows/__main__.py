"""`python -m flows RECIPE`: ask the plan first; with nothing to do say so and start nothing, else run the Prefect flow.

Without PREFECT_API_URL an embedded server of this process is used, with its files in ./.prefect.
"""

import io
import os
import sys
import time
from pathlib import Path

from flows.environment import defaults
from r1data.cli.live import LiveProgress
from r1data.cli.printing import print_table
from r1data.errors import R1Error
from r1data.plan import finished, plan
from r1data.recipe import load_recipe
from r1data.report.claims import COLUMNS, claims
from r1data.report.evaluation import evaluation_text
from r1data.run import on_cluster
from r1data.settings import Settings
from r1data.spending import Spending
from r1data.storage import Lake


def main(arguments: list[str]) -> int:
    """Run a recipe by Prefect unless the lake has it all; prints the evaluation and where to look."""
    if len(arguments) != 1 or arguments[0] in {"-h", "--help"}:
        print("usage: python -m flows RECIPE      a shipped recipe (demo, smoke, ...) or a .toml file")
        return 0 if arguments and arguments[0].startswith("-") else 2
    try:
        return _run(arguments[0])
    except R1Error as e:
        print(f"error: {e}", file=sys.stderr)
        return 1


def _run(name: str) -> int:
    started = time.monotonic()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # progress in a log file too
    settings = Settings.from_environment()
    recipe = on_cluster(load_recipe(name), settings)
    lake = Lake.open(settings.lake)
    lines = plan(lake, recipe)
    to_do = sum(line.status != "done" for line in lines)
    if finished(lines):
        print(f"{recipe.name}: all {len(lines)} nodes are done, nothing to do (Prefect was not started)")
    else:
        print(f"{recipe.name}: {to_do} of {len(lines)} nodes to run")
        _prefect_environment()
        from flows.r1 import LIVE, r1  # importing Prefect takes seconds: only when there is work

        with LiveProgress(Spending(recipe.cluster.budget)) as live:
            LIVE.set(live)
            r1(recipe=name, lake=settings.lake)
    print(f"\n{evaluation_text(lake, recipe.name)}\n")
    print_table(COLUMNS, [c.cells for c in claims(lake, recipe.name)])
    print()
    print(f"report   {lake.uri(f'reports/{recipe.name}/index.html')}")
    print(f"lake     {lake.uri()}    try: .venv/bin/r1 status; .venv/bin/r1 show {recipe.name}/cold_start")
    print(f"took     {time.monotonic() - started:.0f} s")
    return 0


def _prefect_environment() -> None:
    """An embedded server, quiet and with time to start."""
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    defaults(Path(".prefect").absolute())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
