"""`python -m flows.ops up|down|deploy|reap`: `make up`, `make down`, `make deploy`, and the reaper that `up` starts."""

import asyncio
import sys
from functools import partial

from flows.environment import Operations
from flows.ops.up import locked
from r1data.errors import R1Error
from r1data.telemetry import switch_off


def main(arguments: list[str]) -> int:
    """Do one of these; 1 and a message where it failed, 2 where it is none of these."""
    switch_off()
    ops = Operations.from_environment()
    try:
        match arguments:
            case ["up"]:
                with locked(ops) as machine:
                    machine.up()
            case ["down"]:
                with locked(ops) as machine:
                    machine.down()
            case ["deploy"]:
                from flows.ops.deploy import deploy  # Prefect is imported only where it is needed: it takes seconds

                print(deploy(ops.gpu_tasks))
            case ["reap"]:
                from flows.ops.reaper import watch

                say = partial(print, flush=True)
                asyncio.run(watch(ops.reap_silent_s, ops.reap_every_s, say, ops.reap_pending_s))
            case _:
                print(__doc__)
                return 2
    except R1Error as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
