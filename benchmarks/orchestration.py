"""What orchestration costs: Prefect above the bare runner, and `r1 plan` and a run of a recipe that is finished.

python -m benchmarks.orchestration     (two minutes or so; a Prefect server of its own, on a free loopback port)

A node of 1,000 shards that copies its rows is run in a process of its own, by the `Session` that `r1 run` uses and by
the flow's own subflow. Then a lake is made up that holds all of a recipe, 10,000 shards together, for plan and run.
"""

import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow.parquet as pq

from r1data.digest import digest_bytes, digest_json
from r1data.manifest import MANIFEST, FileEntry, Manifest, Shard, checkpoint_digest, dataset_digest
from r1data.params import Params
from r1data.pins import pinned
from r1data.plan import finished, plan
from r1data.recipe import SHIPPED, Recipe, load_recipe
from r1data.refs import move_ref
from r1data.review import record_review
from r1data.reviewing import decided
from r1data.run import REVIEWED, Session, run_recipe
from r1data.runner import parents
from r1data.settings import Settings
from r1data.stages import STAGES, graph
from r1data.step import Node, Step
from r1data.storage import Lake
from schemas import TABLES

SHARDS, FINISHED_SHARDS = 1_000, 10_000
MOST_TASKS, MOST_SECONDS, MOST_PLAN_S = 100, 15.0, 10.0
START_S = 120.0
ROUNDS = 2
REQUESTS = ("exists", "read", "names", "sha256", "batches", "write", "delete")
SOURCE = "bench/made"


class By(Params):
    """Who runs the node: a key of its own."""

    by: str


def copied(*, params: By, documents: pl.DataFrame) -> pl.DataFrame:
    """The documents as they are."""
    return documents


COPY = Step("copied", "1", "map", TABLES["corpus"], copied)


def make_shards(lake: Lake, number: int) -> None:
    """A dataset of that many shards of one document each, under the ref that `run_shards` reads."""
    made = []
    for i in range(number):
        name = f"d{i:06}"
        frame = pl.DataFrame({"document_id": name, "text": name, "category": "c", "source": "s"})
        path = f"data/made/all/part-{i:05d}.parquet"
        size, sha256 = lake.write_table(path, TABLES["corpus"].conform(frame.to_arrow()))
        made.append(Shard(path=path, rows=1, bytes=size, sha256=sha256, digest=sha256, key=name))
    identity = {"name": SOURCE, "path": "data/made/all", "key": "all", "step": "made", "version": "1"}
    about = {**identity, "table": TABLES["corpus"].id, "rows": number, "shards": tuple(made), "kind": "dataset"}
    _publish(lake, Manifest.model_validate({**about, "digest": dataset_digest(TABLES["corpus"].id, tuple(made))}))


def run_shards(by: str, url: str, scratch: Path) -> float:
    """Copy the shards, as the bare runner does or as the flow does; seconds without imports."""
    with Session("smoke", Settings.from_environment({"R1_SCRATCH": str(scratch), "R1_ENGINE": "fake"}, url)) as session:
        session.nodes = {"copied": Node("copied", STAGES[0], COPY, By(by=by), {"documents": f"@{SOURCE}"})}
        started = time.perf_counter()
        if by.startswith("flow"):
            _by_flow(session)
        else:
            session.run_nodes(STAGES[0], session.run_node)
        seconds = time.perf_counter() - started
        assert session.runner.done["copied"].rows, "nothing was copied"
    return seconds


def _by_flow(session: Session) -> None:
    from prefect import flow

    from flows.r1 import run_stage

    @flow(name="bench")
    def bench() -> None:
        session.run_stages(lambda stage: run_stage(session, stage))

    bench()


def finish(lake: Lake, recipe: Recipe, shards: int) -> int:
    """Make up a lake that holds all of a recipe, its datasets with that many shards together; how many there are."""
    nodes, made = graph(pinned(recipe)), dict[str, Manifest]()
    each = -(-shards // sum(node.step.output is not None for node in nodes))
    for node in nodes:
        if REVIEWED in node.inputs.values():
            node = decided(node, record_review(lake, made[REVIEWED], "the recipe", accepted=True))
        made[node.name] = _made_up(lake, recipe.name, node, made, each)
        _publish(lake, made[node.name])
    return sum(len(m.shards) for m in made.values())


def _made_up(lake: Lake, recipe: str, node: Node, made: dict[str, Manifest], number: int) -> Manifest:
    inputs = {role: made[name] for role, name in node.inputs.items()}
    key = node.key({role: m.digest for role, m in inputs.items()})
    folder, output = node.folder(key), node.step.output
    about: dict[str, Any] = {"name": f"{recipe}/{node.name}", "path": folder, "key": key, "parents": parents(inputs)}
    about |= {"step": node.step.name, "version": node.step.version, "params": node.params.model_dump(mode="json")}
    about["counts"] = {f"rows_in_{role}": 1_000 for role in inputs}
    if output is None:
        file = FileEntry(path=f"{folder}/metrics.parquet", bytes=1, sha256=digest_json(key))
        lake.write(f"{folder}/_checks/metrics.json", json.dumps({"success": True}).encode())
        return Manifest(kind="checkpoint", digest=checkpoint_digest((file,)), files=(file,), **about)
    pq.write_table(output.empty(), sink := io.BytesIO())
    data, sha256, shards = sink.getvalue(), digest_bytes(sink.getvalue()), []
    for i in range(number):
        name = digest_json([key, i])
        lake.fs.pipe_file(lake.path(f"{folder}/part-{i:05d}.parquet"), data)  # without a sync: ten thousand of them
        path = f"{folder}/part-{i:05d}.parquet"
        shards.append(Shard(path=path, rows=0, bytes=len(data), sha256=sha256, digest=name, key=name))
    digest = dataset_digest(output.id, tuple(shards))
    return Manifest(kind="dataset", table=output.id, digest=digest, shards=tuple(shards), **about)


def _publish(lake: Lake, manifest: Manifest) -> None:
    lake.write(f"{manifest.path}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
    move_ref(lake, manifest.name, manifest)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often each kind of request is made to lakes, by all threads, until the end."""
    asked, lock = Counter[str](), threading.Lock()
    originals = {name: getattr(Lake, name) for name in REQUESTS}

    def counting(name: str) -> Callable[..., Any]:
        def method(lake: Lake, *args: Any, **options: Any) -> Any:
            with lock:
                asked[name] += 1
            return originals[name](lake, *args, **options)

        return method

    for name in REQUESTS:
        setattr(Lake, name, counting(name))
    try:
        yield asked
    finally:
        for name, method in originals.items():
            setattr(Lake, name, method)


@contextmanager
def prefect_server(home: Path) -> Iterator[dict[str, str]]:
    """A server with an empty database; the environment of its clients."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    environment = {"PREFECT_HOME": str(home), "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"), "DO_NOT_TRACK": "1"}
    env = {**os.environ, **environment, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    home.mkdir(parents=True)
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True)
    try:
        api = f"http://127.0.0.1:{port}/api"
        _until_healthy(api, server, home / "log")
        yield {**env, "PREFECT_API_URL": api}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _until_healthy(api: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{api}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise SystemExit(f"no Prefect server: {log.read_text(errors='replace')[-2000:]}")


def task_runs(api: str) -> int:
    """How many task runs a server has."""
    return int(httpx.post(f"{api}/task_runs/count", json={}, timeout=30).raise_for_status().json())


def overhead(folder: Path) -> None:
    """The node by the bare runner and by the flow in turn, each in a fresh process."""
    lake = Lake.open(str(folder / "shards"))
    make_shards(lake, SHARDS)
    print(f"{SHARDS:,} no-op shards     process, s   CPU, s   node, s   Prefect tasks", flush=True)
    whole: dict[str, list[float]] = {"bare": [], "flow": []}
    with prefect_server(folder / "prefect") as env:
        for by in ("bare", "flow") * ROUNDS:
            before = task_runs(env["PREFECT_API_URL"])
            name = f"{by}-{len(whole[by])}"
            seconds, cpu, told = _timed(
                ["-m", "benchmarks.orchestration", name, lake.url, str(folder / "scratch")], env
            )
            tasks = task_runs(env["PREFECT_API_URL"]) - before
            assert tasks <= MOST_TASKS, f"{tasks} tasks"
            whole[by].append(seconds)
            print(f"  by the {by:<16}{seconds:9.1f}{cpu:9.1f}{float(told.split()[-1]):10.1f}{tasks:16}", flush=True)
    more = min(whole["flow"]) - min(whole["bare"])
    print(
        f"  difference of the least {more:8.1f}   at most {MOST_SECONDS:.0f} s is asked, imports included", flush=True
    )


def nothing_to_do(folder: Path) -> None:
    """Plan and run of a finished recipe."""
    file = folder / "finished.toml"
    text = (SHIPPED / "demo.toml").read_text(encoding="utf-8")
    file.write_text(f"{text}\n[sft_mix.gate.bands]\nverdict = [0.0, 1.0]\n", encoding="utf-8")
    lake, recipe = Lake.open(str(folder / "finished"), auto_mkdir=True), load_recipe(str(file))
    shards = finish(lake, recipe, FINISHED_SHARDS)
    print(f"\na finished recipe: {len(graph(recipe))} nodes, {shards:,} shards")
    seconds, cpu, _ = _timed(["-c", "from r1data.cli import main; main()", "plan", str(file), "--lake", lake.url])
    print(f"  r1 plan       {seconds:6.1f} s in all, {cpu:.1f} s of CPU; at most {MOST_PLAN_S:.0f} s is asked")
    with counted() as asked:
        assert finished(plan(lake, recipe)), "something was to be done"
    print(f"                lake: {_requests(asked)}", flush=True)
    for which in ("first run", "next run"):  # the first one counts what gates dropped, for their bands
        seconds, cpu, told = _timed(["-m", "benchmarks.orchestration", "skip", str(file), lake.url, str(folder)])
        print(f"  {which:<12}  {seconds:6.1f} s in all, {cpu:.1f} s of CPU\n                {told}", end="", flush=True)


def _timed(arguments: list[str], env: dict[str, str] | None = None) -> tuple[float, float, str]:
    """Run Python; seconds, those of the processors, and what it printed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    told = subprocess.run([sys.executable, *arguments], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, told


def skip(file: str, url: str, scratch: str) -> None:
    """Run a finished recipe; says what was asked of the lake."""
    settings = Settings.from_environment({"R1_SCRATCH": scratch, "R1_ENGINE": "fake"}, url)
    started = time.perf_counter()
    with counted() as asked:
        assert run_recipe(file, settings, report=lambda _: None) == 0, "something was to be done"
    print(f"lake: {_requests(asked)}; {time.perf_counter() - started:.1f} s without imports")


def _requests(asked: Counter[str]) -> str:
    return ", ".join(f"{n:,} {kind}" for kind, n in sorted(asked.items()))


def main(arguments: list[str]) -> None:
    """All of it, or one way to run the node."""
    if arguments and arguments[0] == "skip":
        skip(*arguments[1:])
    elif arguments:
        by, url, scratch = arguments
        print(run_shards(by, url, Path(scratch)))
    else:
        with tempfile.TemporaryDirectory(prefix="orchestration-") as folder:
            overhead(Path(folder))
            nothing_to_do(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
