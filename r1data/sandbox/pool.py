"""Many programs on all cores: a warm zygote each, failures of the machine tried again, timeouts once more and alone."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from r1data.sandbox.cases import Report, TestSet, tested
from r1data.sandbox.execute import Runner
from r1data.sandbox.jail import Died, Isolation, Zygote, best_isolation

TRIES = 3


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
            found = list(pool.map(self._tried, programs))
        late = [i for i, report in enumerate(found) if report.status == "timeout"]
        with self._alone:
            for i in late if len(programs) > 1 else []:
                found[i] = self._tried(programs[i])
        return found

    def _tried(self, program: tuple[str, TestSet]) -> Report:
        """One program; a jail that dies is replaced and the program tried again."""
        why = ""
        for _ in range(TRIES):
            runner = self._free.get()
            try:
                runner = runner or Runner(Zygote(self.isolation))
                report = tested(runner, *program)
            except Died as e:
                why = str(e)
                _end(runner)
                runner = None
            except BaseException:
                _end(runner)
                runner = None
                raise
            else:
                return report
            finally:
                self._free.put(runner)
        return Report("infra_error", detail=why)


def _end(runner: Runner | None) -> None:
    if runner:
        runner.zygote.close()
