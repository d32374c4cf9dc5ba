"""A campaign: runs one after the other, each killed and starved of its storage, until all kills and faults were made.

A run ends when its flow run is Completed, or Failed by a check that stops an undisturbed run too. Then its refs are
compared with an undisturbed run's, the lake is verified anew, and no process nor lease that blocks may be left.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from benchmarks.chaos.faults import Faulty
from benchmarks.chaos.journal import Journal
from benchmarks.chaos.reader import AWAY, Reader
from benchmarks.chaos.segments import before, fill, rarest, refs_of
from benchmarks.chaos.stack import OF_A_RUN, SUPERVISED, Stack
from r1data.lease import gone
from r1data.refs import list_refs, resolve
from r1data.stages import STAGES
from r1data.storage import Lake
from tests.running import COMMAND, digests
from tests.s3 import Server, environment

TICK_S, ASK_S = 0.5, 2.0
SUPERVISOR_S = 5.0  # at most so long a dead service stays dead
SETTLED_S = 45.0  # a kill that has ended nothing by then has not ended the attempt
STUCK_S = 240.0  # a flow run without a process for so long is started again by hand
LEFT_S = 40.0
CALM, CALM_SHARE = 6, 0.25  # kills come in bursts: a pause in so many is that much longer, and the run gets on
REAPED = 3  # attempts that the reaper allows


@dataclass(frozen=True)
class Plan:
    """What a campaign is to do; `pause` is between kills, in seconds, `every` between faults, in requests."""

    kills: int
    faults: int
    seed: int
    engine: str
    rollouts: str
    recipe: str
    stage: str
    ranks: int
    per_run: int
    pause: tuple[float, float]
    every: float
    reference: str | None
    whole: int
    stages: tuple[str, ...]


@dataclass
class Attempt:
    """A flow run in Prefect, and what is known of it."""

    id: str
    count: int = 1
    state: str = ""
    message: str = ""
    lively: float = field(default_factory=time.monotonic)


class Campaign:
    """Goes on where its journal ends."""

    def __init__(self, plan: Plan, journal: Journal, stop: threading.Event) -> None:
        self.plan, self.journal, self.stop = plan, journal, stop
        self.pending: list[tuple[int, str, float]] = []
        if not journal.of("campaign"):
            told = {"engine": plan.engine, "rollouts": plan.rollouts, "recipe": plan.recipe}
            journal.add("campaign", **told, seed=plan.seed)

    @property
    def kills_left(self) -> int:
        """Of the whole campaign."""
        return self.plan.kills - len(self.journal.of("kill"))

    def go_on(self) -> bool:
        """Work until all is done or the driver is stopped; whether all is done."""
        began, folder = time.monotonic(), self.journal.folder
        cluster = f'parallel = 2\nranks = {self.plan.ranks}\nrollouts = "{self.plan.rollouts}"\n'
        (folder / "cluster.toml").write_text(cluster, encoding="utf-8")
        try:
            if not self.journal.of("reference"):
                self._undisturbed()
            if not self.stop.is_set() and self._more():
                with Stack(folder, self.plan.engine, self._proxy) as stack:
                    while not self.stop.is_set() and self._more():
                        self._run(stack)
                        stack.proxy.settle(everything=True)
        finally:
            self.journal.add("session", seconds=round(time.monotonic() - began))
        return not self._more()

    def _more(self) -> bool:
        return self.kills_left > 0 or len(self.journal.of("fault")) < self.plan.faults or self.journal.run()[1]

    def say(self, line: str) -> None:
        """A line of progress."""
        kills, faults = len(self.journal.of("kill")), len(self.journal.of("fault"))
        clock = time.strftime("%H:%M:%S", time.gmtime())
        print(f"{clock} run {self.journal.run()[0]}  {kills} kills  {faults} faults  {line}", flush=True)

    @property
    def _place(self) -> str:
        """The lake of an undisturbed run."""
        return self.plan.reference or str(self.journal.folder / "undisturbed")

    def _undisturbed(self) -> None:
        """What the refs are without any kill or fault: of a lake that is there, or by a run on a local one."""
        place = self._place
        if not self.plan.reference:
            self.say("an undisturbed run first")
            stage = ["--stage", self.plan.stage] if self.plan.stage else []
            command = [sys.executable, "-c", COMMAND, "run", self.plan.recipe, *stage, "--lake", place]
            told = {"R1_ENGINE": self.plan.engine, "R1_CLUSTER": str(self.journal.folder / "cluster.toml")}
            env = {**os.environ, **told, "R1_SCRATCH": str(self.journal.folder / "scratch-undisturbed")}
            with (self.journal.folder / "undisturbed.log").open("wb") as log:
                process = subprocess.Popen(command, env={**env, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
                while process.poll() is None:
                    if self.stop.wait(TICK_S):
                        process.terminate()
                        process.wait()
                        return
        self.journal.add("reference", digests=digests(Lake.open(place)))

    def _proxy(self, server: Server) -> Faulty:
        done = len(self.journal.of("fault"))
        rng = random.Random(f"{self.plan.seed}/faults/{done}")
        proxy = Faulty(server, left=self.plan.faults - done, every=self.plan.every, rng=rng)
        proxy.told = lambda what, kind, name, outcome: self._faulted(what, kind, name, outcome)
        proxy.answered = proxy.passed
        return proxy

    def _faulted(self, what: str, kind: str, name: str, outcome: str) -> None:
        run = self.journal.run()[0]
        self.journal.add("fault", run=run, what=what, request=kind, name=name, outcome=outcome)

    def _violated(self, what: str) -> None:
        self.journal.add("violation", run=self.journal.run()[0], what=what)
        self.say(f"VIOLATION {what}")

    def _run(self, stack: Stack) -> None:
        """One run from an empty lake to its end, or until the driver is stopped."""
        number, begun = self.journal.run()
        if begun:
            for event in self.journal.of("attempt", run=number):
                self._cancel(stack, event["flow_run"])
            self.journal.add("rerun", run=number, why="stopped")
        else:
            self._new_run(stack, number)
        stack.proxy.active.set()
        with Reader(stack.lake(number), self._violated) as reader:
            attempt = self._begun(stack, number)
            while not self.stop.is_set():
                if attempt is None:
                    attempt = self._begun(stack, number)
                attempt = self._followed(stack, reader, number, attempt)
                if attempt and attempt.state == "ENDED":
                    break
            stack.proxy.active.clear()
            if attempt and attempt.state == "ENDED":
                self._ended(stack, reader, number, attempt)

    def _new_run(self, stack: Stack, number: int) -> None:
        """Write down what the next run is: all of the recipe from an empty lake, or one stage on what it needs."""
        stage, objects = self.plan.stage, 0
        if not stage and number > self.plan.whole:
            taken = [e["stage"] for e in self.journal.of("run") if e.get("stage")]
            stage = rarest(self.plan.stages, taken, random.Random(f"{self.plan.seed}/stage/{number}"))
            objects = fill(Lake.open(self._place), stack.lake(number), self.plan.recipe, stage)
        self.journal.add("run", number=number, stage=stage, objects=objects)
        self.say(f"begins: {stage or 'all stages'}, {objects} objects are there")

    def _stage(self, number: int) -> str:
        return str(self.journal.of("run", number=number)[0].get("stage", ""))

    def _begun(self, stack: Stack, number: int) -> Attempt:
        """A flow run of the deployment on the run's lake."""
        stage = self._stage(number)
        name = "stage/evaluate" if stage else "r1/recipe"
        told = {"recipe": self.plan.recipe, "lake": stack.lake(number).url}
        told |= {"stage": stage} if stage else {}
        deployment = stack.asked("GET", f"/deployments/name/{name}")["id"]
        found = stack.asked("POST", f"/deployments/{deployment}/create_flow_run", {"parameters": told})["id"]
        self.journal.add("attempt", run=number, flow_run=found)
        self.say(f"flow run {found}")
        return Attempt(found)

    def _cancel(self, stack: Stack, flow_run: str) -> None:
        state = stack.asked("GET", f"/flow_runs/{flow_run}")["state"]["type"]
        if state not in ("COMPLETED", "FAILED", "CANCELLED"):
            body = {"state": {"type": "CANCELLED"}, "force": True}
            stack.asked("POST", f"/flow_runs/{flow_run}/set_state", body)

    def _followed(self, stack: Stack, reader: Reader, number: int, attempt: Attempt) -> Attempt | None:
        """The attempt after the next kill, or after a change of its state; None to start another by hand."""
        n = len(self.journal.of("kill")) + 1
        rng = random.Random(f"{self.plan.seed}/kill/{n}/{number}")  # a pause longer than a run is not drawn again
        moment = time.monotonic() + rng.uniform(*self.plan.pause) * (CALM if rng.random() < CALM_SHARE else 1)
        more = self.kills_left > 0 and len(self.journal.of("kill", run=number)) < self.plan.per_run
        asked = 0.0
        while not self.stop.wait(TICK_S):
            if time.monotonic() - asked > ASK_S:
                asked = time.monotonic()
                self._settle()
                over = self._over(stack, attempt)
                if over:
                    return self._next(number, attempt, over)
            if more and time.monotonic() > moment:
                if self._kill(stack, n, number, rng):
                    self._checked(reader)
                    return attempt
                moment = time.monotonic() + 1
        return attempt

    def _over(self, stack: Stack, attempt: Attempt) -> str:
        """How the attempt is over, in Prefect's words; empty while it goes on or waits for the reaper."""
        found = stack.ask("GET", f"/flow_runs/{attempt.id}")
        if found is None:
            return ""
        state, now = found["state"], time.monotonic()
        attempt.count = max(attempt.count, found["run_count"])
        if state["type"] == "CRASHED" != attempt.state and attempt.count < REAPED:
            self.journal.add("reaped", run=self.journal.run()[0], why=(state.get("message") or "")[:200])
            self._blame("reaper")
            self.say("crashed, left to the reaper")
        if state["type"] != attempt.state or stack.alive().get("flow"):
            attempt.lively = now
        attempt.state, attempt.message = state["type"], state.get("message") or ""
        if state["type"] in ("COMPLETED", "FAILED", "CANCELLED"):
            return str(state["type"])
        if state["type"] == "CRASHED" and attempt.count >= REAPED:
            return "CRASHED"
        return "STUCK" if now - attempt.lively > STUCK_S else ""

    def _next(self, number: int, attempt: Attempt, over: str) -> Attempt | None:
        """The attempt that is the run's end, or None where another has to be started."""
        if over == "COMPLETED" or "CheckFailed" in attempt.message:
            attempt.state = "ENDED"
            return attempt
        why = f"{over}: {attempt.message[-300:]}" if over != "STUCK" else f"stuck in {attempt.state}"
        self.journal.add("rerun", run=number, why=why, count=attempt.count)
        self._blame("by hand")
        self.say(f"run again by hand: {why[:160]}")
        return None

    def _kill(self, stack: Stack, n: int, number: int, rng: random.Random) -> bool:
        """Kill one process of a kind, the rarer kinds first; whether the run was there to be disturbed."""
        alive = stack.alive()
        if "flow" not in alive:
            return False
        before = Counter(e["victim"] for e in self.journal.of("kill"))
        kinds = sorted(alive)
        kind = rng.choices(kinds, [1 / (1 + before[k]) ** 2 for k in kinds])[0]
        process = rng.choice(sorted(alive[kind], key=lambda p: p.pid))
        process.kill()
        self.journal.add("kill", number=n, run=number, victim=kind, alive={k: len(v) for k, v in alive.items()})
        self.say(f"killed {kind} ({process.pid})")
        self.pending.append((n, kind, time.monotonic()))
        if kind in SUPERVISED:
            time.sleep(rng.uniform(0, SUPERVISOR_S))
            stack.restart(kind)
        return True

    def _settle(self, everything: bool = False) -> None:
        """Kills that have ended nothing by now: the attempt went on."""
        limit = time.monotonic() - (0 if everything else SETTLED_S)
        for n, _, _at in [p for p in self.pending if p[2] <= limit]:
            self.journal.add("outcome", number=n, how="went on")
        self.pending = [p for p in self.pending if p[2] > limit]

    def _blame(self, how: str) -> None:
        """An attempt ended: by the last kill of one of its own processes, else by the last kill."""
        own = [p for p in self.pending if p[1] in OF_A_RUN] or self.pending
        if own:
            self.journal.add("outcome", number=own[-1][0], how=how)
            self.pending.remove(own[-1])

    def _checked(self, reader: Reader) -> None:
        """Check the whole lake; a store that is not back yet is waited for."""
        for _ in range(60):
            try:
                found = reader.check()
            except AWAY:
                time.sleep(1)
                continue
            self.journal.add("checked", run=self.journal.run()[0], **found)
            return
        self._violated("the store does not come back")

    def _ended(self, stack: Stack, reader: Reader, number: int, attempt: Attempt) -> None:
        """What holds at the end of a run."""
        self._settle(everything=True)
        reader.again()
        self._checked(reader)
        lake = reader.lake
        wanted, stage = self.journal.of("reference")[0]["digests"], self._stage(number)
        own = refs_of(self.plan.recipe, {stage} if stage else STAGES)
        if stage:
            here = refs_of(self.plan.recipe, {stage, *before(self.plan.recipe, stage)})
            wanted = {ref: digest for ref, digest in wanted.items() if ref in here}
        found = {ref: resolve(lake, ref).digest for ref in list_refs(lake)}
        differing = sorted(ref for ref in wanted.keys() | found.keys() if wanted.get(ref) != found.get(ref))
        if self.plan.engine == "vllm":  # answers of a server are never promised to be the same
            differing = [ref for ref in differing if not (ref in wanted and ref in found and ref in own)]
        if differing:
            self._violated(f"refs differ from an undisturbed run's: {', '.join(differing)}")
        # leases after processes: a run that could not reach the store has left its own behind while it ends
        for what in (*self._left(stack), *_answers_changed(lake), *_blocking(lake), *_verified(stack, lake)):
            self._violated(what)
        flow_runs = [e["flow_run"] for e in self.journal.of("attempt", run=number)]
        counts = [stack.asked("GET", f"/flow_runs/{f}")["run_count"] for f in flow_runs]
        about: dict[str, Any] = {"begun": len(flow_runs), "attempts": sum(max(1, c) for c in counts)}
        about |= {"state": attempt.message[-200:], "refs": len(found), "differing": len(differing)}
        self.journal.add("end", run=number, stage=stage, equal=not differing, **about)
        self.say(f"run {number} ended: {len(found)} refs, {len(differing)} differ, attempts {about['attempts']}")

    def _left(self, stack: Stack) -> list[str]:
        """Processes of the run that outlive it."""
        deadline = time.monotonic() + LEFT_S
        while left := {k: v for k, v in stack.alive().items() if k in OF_A_RUN}:
            if time.monotonic() > deadline:
                return [f"left running: {kind} {[p.pid for p in found]}" for kind, found in left.items()]
            time.sleep(1)
        return []


def _answers_changed(lake: Lake) -> list[str]:
    """Candidates that are recorded twice, and not alike."""
    parts = [n for n in lake.names("calls") if n.endswith(".parquet")]
    if not parts:
        return []
    columns = ["candidate_id", "prompt", "completion", "seed"]
    rows = pl.concat([pl.DataFrame(lake.read_table(n, columns=columns)) for n in parts]).unique()
    twice = rows.filter(rows["candidate_id"].is_duplicated())["candidate_id"].unique()
    return [f"candidate {c} is recorded twice, and not alike" for c in twice]


def _blocking(lake: Lake) -> list[str]:
    """Leases of processes that live: a lease of a dead one does not block."""
    held = {name: json.loads(lake.read(name)) for name in lake.names("leases")}
    return [f"{name} is held by process {about.get('pid')}" for name, about in held.items() if not gone(about)]


def _verified(stack: Stack, lake: Lake) -> list[str]:
    """What `r1 verify` says, if it finds a fault."""
    command = [sys.executable, "-c", COMMAND, "verify", "--lake", lake.url]
    env = {**os.environ, **environment(stack.server.url)}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return [f"r1 verify: {(run.stdout + run.stderr)[-400:]}"] if run.returncode else []
