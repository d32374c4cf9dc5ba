"""Many programs on all cores: a warm zygote each, failures of the machine tried again, timeouts once more and alone."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from r1data.sandbox.cases import Report, TestSet, tested
from r1data.sandbox.execute import Limits, Ran, Runner
from r1data.sandbox.jail import Died, Isolation, Zygote, best_isolation

TRIES = 3
T = TypeVar("T")


class Sandbox:
    """Runs programs against tests; `close` (or leaving the context) ends every jail. Threads may share it."""

    def __init__(self, isolation: Isolation | None = None, lanes: int | None = None) -> None:
        self.isolation = isolation or best_isolation()
        self.lanes = lanes or os.cpu_count() or 1
        self._free: SimpleQueue[Runner | None] = SimpleQueue()
        for _ in range(self.lanes):
            self._free.put(None)  # started by the first job that needs it
        self._alone = threading.Lock()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every jail; a lane that is at work ends when its job does."""
        for _ in range(self.lanes):
            _end(self._free.get())
            self._free.put(None)

    def run(self, programs: Sequence[tuple[str, TestSet]]) -> list[Report]:
        """The report of every (program, tests), in order. What timed out beside others is run once more, alone."""
        with ThreadPoolExecutor(self.lanes) as pool:
            found = list(pool.map(self._tested, programs))
        late = [i for i, report in enumerate(found) if report.status == "timeout"]
        with self._alone:
            for i in late if len(programs) > 1 else []:
                found[i] = self._tested(programs[i])
        return found

    def outputs(self, programs: Sequence[tuple[str, str]], limits: Limits) -> list[str | None]:
        """What every (program, stdin) prints, in order; None where it did not end well."""

        def output(program: tuple[str, str]) -> str | None:
            code, stdin = program
            ran = self._tried(lambda runner: runner.run([{"mode": "run", "code": code}], limits, stdin)[0])
            return ran.out if isinstance(ran, Ran) and not ran.stopped and ran.exit == 0 else None

        with ThreadPoolExecutor(self.lanes) as pool:
            return list(pool.map(output, programs))

    def _tested(self, program: tuple[str, TestSet]) -> Report:
        found = self._tried(lambda runner: tested(runner, *program))
        return found if isinstance(found, Report) else Report("infra_error", detail=found)

    def _tried(self, job: Callable[[Runner], T]) -> T | str:
        """What a job comes to; a jail that dies is replaced and the job tried again. A text says why it never ended."""
        why = ""
        for _ in range(TRIES):
            runner = self._free.get()
            try:
                runner = runner or Runner(Zygote(self.isolation))
                found = job(runner)
            except Died as e:
                why = str(e)
                _end(runner)
                runner = None
            except BaseException:
                _end(runner)
                runner = None
                raise
            else:
                return found
            finally:
                self._free.put(runner)
        return why


def _end(runner: Runner | None) -> None:
    if runner:
        runner.zygote.close()
