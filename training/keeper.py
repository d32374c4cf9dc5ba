"""What a training leaves for others while it runs: TensorBoard events, and copies of its saved states in a remote lake.

A state is copied by a thread of rank 0, the listing last, so that a torn copy does not count; where the lake is this
machine's own disk nothing is copied. A machine that is lost costs the steps since the last copy, not the run.
"""

import json
import shutil
import threading
from pathlib import Path

import torch.distributed as dist
from torch.utils.tensorboard import SummaryWriter

from r1data.errors import StorageError
from r1data.manifest import FileEntry
from r1data.storage import Lake
from training import states
from training.job import Job

BEST = "best.safetensors"
EVENTS = "tensorboard"
ROLLOUTS = "rollouts"


class Keeper:
    """Rank 0 writes; the others do nothing but wait where a state is fetched."""

    def __init__(self, job: Job, rank: int) -> None:
        self.job, self.rank = job, rank
        self.board: SummaryWriter | None = None
        self.copies = None if job.lake.is_local or rank else Copies(job.lake, f"{job.folder}/states", job.scratch)

    def fetch(self) -> None:
        """Bring the lake's newest state to the scratch folder where that has none; collective."""
        if self.copies is not None and states.last_whole(self.job.scratch) is None:
            self.copies.fetch()
        if dist.is_initialized():
            dist.barrier()

    def measured(self, step: int, values: dict[str, float]) -> None:
        """A step's metrics for TensorBoard; those of steps that a resumed run does again replace the first ones."""
        if self.rank:
            return
        if self.board is None:
            self.board = SummaryWriter(str(self.job.scratch / EVENTS), purge_step=step, flush_secs=10)
        for name, value in values.items():
            self.board.add_scalar(name, value, step)

    def saved(self, state: Path) -> None:
        """A state is whole on this machine's disk."""
        if self.board is not None:
            self.board.flush()
        if self.copies is not None:
            self.copies.put(state)

    def wait(self) -> None:
        """Until the lake has the last state."""
        if self.copies is not None:
            self.copies.wait()

    def files(self) -> list[FileEntry]:
        """The events, put into the lake beside the checkpoint, without the names of this machine."""
        if self.board is not None:
            self.board.close()
        found = []
        for i, source in enumerate(sorted((self.job.scratch / EVENTS).glob("events.out.tfevents.*"))):
            began = source.name.split(".")[3]
            path = f"{self.job.folder}/events.out.tfevents.{began}.{i}"
            size, sha256 = self.job.lake.put(source, path)
            found.append(FileEntry(path=path, bytes=size, sha256=sha256))
        return found

    def committed(self) -> None:
        """The copies have done their work."""
        if self.copies is not None:
            self.copies.clear()


class Copies:
    """Copies of the last saved state, and of every recorded rollout, below a folder of the lake."""

    def __init__(self, lake: Lake, folder: str, scratch: Path) -> None:
        self.lake, self.folder, self.scratch = lake, folder, scratch
        self._next: Path | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._rollouts: dict[str, int] = {}  # by name the time of the file that was copied: rounds may follow

    def put(self, state: Path) -> None:
        """Copy a state in the background; while one is under way, only the newest of those that came since."""
        with self._lock:
            self._next = state
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Until all is copied."""
        while (thread := self._thread) is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                state, self._next = self._next, None
                if state is None:
                    self._thread = None
                    return
            try:
                self._copy(state)
            except FileNotFoundError:
                pass  # deleted meanwhile, as two newer ones are there
            except StorageError as e:
                print(f"{state.name} was not copied to the lake, the training goes on: {e}", flush=True)

    def _copy(self, state: Path) -> None:
        best = self.scratch / BEST
        if best.exists():
            self.lake.put(best, f"{self.folder}/{BEST}")
        # a resumed run replays the rollouts of every step before the state
        for path in sorted((self.scratch / ROLLOUTS).glob("step-*.parquet")):
            if self._rollouts.get(path.name) != (written := path.stat().st_mtime_ns):
                self.lake.put(path, f"{self.folder}/{ROLLOUTS}/{path.name}")
                self._rollouts[path.name] = written
        listing = (state / states.LISTING).read_bytes()
        for name in json.loads(listing):
            self.lake.put(state / name, f"{self.folder}/{state.name}/{name}")
        self.lake.write(f"{self.folder}/{state.name}/{states.LISTING}", listing)
        self._delete([n for n in self.lake.names(self.folder) if self._older(n, state.name)])

    def _older(self, name: str, newest: str) -> bool:
        state = name.removeprefix(f"{self.folder}/").split("/")[0]
        return state.startswith("state-") and state < newest

    def _delete(self, names: list[str]) -> None:
        for name in sorted(names, key=lambda n: not n.endswith(states.LISTING)):
            self.lake.delete(name)

    def fetch(self) -> Path | None:
        """The newest whole copy as a saved state of the scratch folder, with its rollouts; None without one."""
        names = self.lake.names(self.folder)
        listings = sorted(n for n in names if n.endswith(f"/{states.LISTING}"))
        if not listings:
            return None
        state = listings[-1].split("/")[-2]
        if f"{self.folder}/{BEST}" in names:
            self._bring(f"{self.folder}/{BEST}", self.scratch / BEST)
        for name in (n for n in names if n.startswith(f"{self.folder}/{ROLLOUTS}/")):
            path = self.scratch / ROLLOUTS / name.rsplit("/", 1)[-1]
            self._bring(name, path)
            self._rollouts[path.name] = path.stat().st_mtime_ns
        beside, final = self.scratch / f".{state}", self.scratch / state
        shutil.rmtree(beside, ignore_errors=True)
        for name in json.loads(self.lake.read(listings[-1])):
            self._bring(f"{self.folder}/{state}/{name}", beside / name)
        states.publish(beside, final)
        print(f"{state} fetched from the lake", flush=True)
        return final

    def _bring(self, name: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self.lake.download(name, target)

    def clear(self) -> None:
        """Delete every copy, the listings first."""
        with self._lock:
            self._next = None
        self.wait()
        self._delete(self.lake.names(self.folder))
