"""`python -m benchmarks.chaos`: kill processes of whole runs and break their storage, at moments drawn from a seed.

Runs of a recipe go through Prefect (`make up`, with PostgreSQL where it is there), one after the other, each from an
empty lake on a real S3 server. Meanwhile one of flow, worker, engine, torchrun, rank, S3 server and Prefect server is
killed (-9) every few seconds, and a proxy before the S3 server makes faults. What a supervisor would start again is
started again; a crashed run is the reaper's; a failed one is run again as a person would. A reader looks for broken
promises all the time, and after every kill at everything. Each event is a line of STATE/events.jsonl: stop the driver
at any time (SIGTERM, Ctrl-C, even kill -9) and start the same command again; when all is done it prints its tables.

  python -m benchmarks.chaos --state DIR                                    90 kills, 1,000 faults, fake engine
  python -m benchmarks.chaos --state DIR3 --rollouts hf                     trainings roll out by transformers
  python -m benchmarks.chaos --state DIR2 --engine vllm --kills 10 --faults 0
  python -m benchmarks.chaos --report docs/reliability.md --state DIR DIR2  the tables, into a page
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

from benchmarks.chaos.campaign import Campaign, Plan
from benchmarks.chaos.journal import Journal, report, write_report
from r1data.stages import STAGES


def options(arguments: list[str]) -> argparse.Namespace:
    """What was asked for."""
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__, formatter_class=kind)
    parser.add_argument("--state", type=Path, nargs="+", required=True, help="folder of events, lakes and logs")
    parser.add_argument("--kills", type=int, default=90, help="kills in all (90)")
    parser.add_argument("--faults", type=int, default=1000, help="storage faults in all (1000)")
    parser.add_argument("--seed", type=int, default=1, help="of victims, moments and faults (1)")
    parser.add_argument("--engine", choices=["fake", "vllm"], default="fake", help="model server (fake)")
    told = "who makes the rollouts of trainings (server)"
    parser.add_argument("--rollouts", choices=["server", "in_process", "hf"], default="server", help=told)
    parser.add_argument("--recipe", default="smoke", help="recipe that is run (smoke)")
    parser.add_argument("--stage", default="", help="run up to this stage only")
    parser.add_argument("--whole", type=int, default=1000, help="runs of all stages; later ones take one stage each")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="which stages these take (all)")
    parser.add_argument("--ranks", type=int, default=2, help="processes of a training, under torchrun if several (2)")
    parser.add_argument("--per-run", type=int, default=30, help="kills in one run; then it ends in peace (30)")
    parser.add_argument("--pause", type=float, nargs=2, default=(2.0, 20.0), help="seconds between kills (2 20)")
    parser.add_argument("--every", type=float, default=8.0, help="requests between faults, on average (8)")
    parser.add_argument("--reference", help="a local lake where the recipe has run undisturbed with as many ranks")
    parser.add_argument("--report", type=Path, help="write the tables into this page, and run nothing")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Go on with a campaign until it is done; 1 if a promise was broken, 3 if the driver was stopped before."""
    told = options(arguments)
    if told.report:
        write_report([Journal(folder) for folder in told.state], told.report)
        return 0
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    names = ["kills", "faults", "seed", "engine", "rollouts", "recipe", "stage", "ranks", "per_run", "every"]
    names += ["reference", "whole"]
    plan = Plan(**{name: getattr(told, name) for name in names}, pause=tuple(told.pause), stages=tuple(told.stages))
    told.state[0].mkdir(parents=True, exist_ok=True)
    journal = Journal(told.state[0].absolute())
    done = Campaign(plan, journal, stop).go_on()
    print(report([journal]), flush=True)
    if not done:
        print("stopped; the same command goes on", flush=True)
        return 3
    return 1 if journal.of("violation") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
