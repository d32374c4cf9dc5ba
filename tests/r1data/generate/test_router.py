"""Servers that hang, die, return, or refuse a prompt: requests are sent again, or there is one clear error."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.cluster_params import EngineParams
from r1data.endpoint import Endpoint
from r1data.errors import ContextOverflow, EndpointError
from r1data.generate.candidates import candidates
from r1data.generate.client import Completion, CompletionRequest, Decoding, complete
from r1data.generate.fleet import Fleet
from r1data.generate.pool import Pool
from r1data.generate.router import Backend, Router
from r1data.generate.sampling import Identity, Prompt
from r1data.generate.server import SERVED_NAME, Server, start_server
from r1data.manifest import FileEntry, Manifest
from r1data.sampling_params import SamplingParams
from r1data.storage import Lake
from tests.generating import recorded
from tests.r1data.generate.test_endpoint import GOOD
from tests.running import desk

DECODING = Decoding(1.0, 1.0, 64)
PROMPTS = [Prompt(f"p{i}", f"User: {10 + i}+23=? Assistant: ") for i in range(40)]
SAMPLING = SamplingParams(samples=8, temperature=1.0, max_tokens=64)


def asked(router: Router, number: int) -> list[list[Completion]]:
    async def all_of_them() -> list[list[Completion]]:
        async with router:
            requests = [CompletionRequest(f"User: {i}+1=? Assistant: ", 2, i) for i in range(number)]
            return await asyncio.gather(*(complete(router, r, DECODING) for r in requests))

    return asyncio.run(all_of_them())


@pytest.fixture
def hanging() -> Iterator[Callable[[int], str]]:
    """A server that is healthy but never answers its first requests."""
    ended = threading.Event()
    servers: list[ThreadingHTTPServer] = []

    def start(hangs: int) -> str:
        left = [hangs]

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                left[0] -= 1
                if left[0] >= 0:
                    ended.wait(30)
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(GOOD)))
                self.end_headers()
                self.wfile.write(GOOD)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    ended.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def one(router: Router) -> str:
    async def ask_one() -> str:
        async with router:
            return (await complete(router, CompletionRequest("p", 1, 0), DECODING))[0].text

    return asyncio.run(ask_one())


def test_a_request_that_hangs_is_sent_again(hanging: Callable[[int], str]) -> None:
    assert one(Router([Backend(Endpoint(hanging(1), "m"))], down_s=2, stalled_s=0.4)) == "ok"


def test_a_server_that_only_hangs_is_one_clear_error(hanging: Callable[[int], str]) -> None:
    with pytest.raises(EndpointError, match=r"no token for 0\.4 s \(stalled\), twice without an answer"):
        one(Router([Backend(Endpoint(hanging(99), "m"))], down_s=2, stalled_s=0.4))


def test_the_least_loaded_gets_the_next(server: Server) -> None:
    backends = [Backend(Endpoint(server.url, SERVED_NAME)) for _ in range(3)]
    asked(Router(backends), 90)
    assert sorted(b.answers for b in backends) == pytest.approx([30] * 3, abs=12)


def test_a_dead_server_is_taken_out_and_nobody_notices(server: Server) -> None:
    dead = Backend(Endpoint("http://127.0.0.1:9", "m"))
    found = asked(Router([dead, Backend(Endpoint(server.url, SERVED_NAME))], down_s=1), 20)
    assert [len(children) for children in found] == [2] * 20
    assert dead.answers == 0


def test_without_any_server_the_error_says_which_and_why() -> None:
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9: away for 1 s, last: .*Cannot connect"):
        asked(Router([Backend(Endpoint("http://127.0.0.1:9", "m"))], down_s=0.6), 3)


@pytest.fixture
def checkpoint(lake: Lake, model_folder: Path, model: Manifest) -> Manifest:
    """A committed-looking checkpoint in the lake."""
    files = []
    for path in model_folder.iterdir():
        size, sha256 = lake.put(path, f"data/m/k/{path.name}")
        files.append(FileEntry(path=f"data/m/k/{path.name}", bytes=size, sha256=sha256))
    return model.model_copy(update={"files": tuple(files)})


def fleet_of(lake: Lake, folder: Path, **params: object) -> Fleet:
    return Fleet(lake, folder, sys.executable, "fake", params=EngineParams.model_validate(params))


def test_a_killed_server_starts_anew_and_nothing_is_lost(lake: Lake, checkpoint: Manifest, tmp_path: Path) -> None:
    whole = sampled(lake, checkpoint, fleet_of(lake, tmp_path / "a", servers=2, arguments=["--token-ms", "1"]))
    other = Lake.open(str(tmp_path / "other"))
    fleet = fleet_of(lake, tmp_path / "b", arguments=["--token-ms", "10", "--max-num-seqs", "32"])
    told: list[str] = []
    fleet.report = told.append

    def kill() -> None:
        while not fleet.servers:
            time.sleep(0.05)
        time.sleep(0.5)
        (warm,) = next(iter(fleet.servers.values()))
        assert warm.server is not None
        os.kill(warm.server.process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = sampled(other, checkpoint, fleet)
    killer.join()
    assert any("starts anew" in line for line in told)
    assert found.equals(whole)


def sampled(lake: Lake, checkpoint: Manifest, fleet: Fleet) -> pl.DataFrame:
    with fleet:
        shards = candidates(desk(lake), lambda: fleet.hold(checkpoint), checkpoint, PROMPTS, SAMPLING, "t")
        return pl.concat(shards).drop("latency_ms").sort("candidate_id")


def test_a_server_that_cannot_start_again_is_an_error_with_its_last_lines(
    lake: Lake, checkpoint: Manifest, tmp_path: Path
) -> None:
    with fleet_of(lake, tmp_path / "a", ready_s=20) as fleet, fleet.hold(checkpoint) as backends:
        (warm,) = next(iter(fleet.servers.values()))
        assert warm.server is not None
        warm.starts = 5
        warm.server.log.write_text("CUDA error: out of memory\n")
        warm.server.stop()
        with pytest.raises(EndpointError, match=r"(?s)is gone; its last lines:\nCUDA error: out of memory.*5 times"):
            asked(Router(backends), 2)


def test_servers_of_others_are_used_and_the_late_one_left_out(
    lake: Lake, checkpoint: Manifest, server: Server, tmp_path: Path
) -> None:
    fleet = fleet_of(lake, tmp_path / "a", urls=[server.url, "http://127.0.0.1:9"], ready_s=1)
    assert sampled(lake, checkpoint, fleet).height == len(PROMPTS) * SAMPLING.samples
    none = fleet_of(lake, tmp_path / "b", urls=["http://127.0.0.1:9"], ready_s=1)
    with none, pytest.raises(EndpointError, match=r"none of http://127\.0\.0\.1:9 was ready in 1 s"):
        none.hold(checkpoint).__enter__()


def test_a_prompt_that_is_too_long_stops_nobody_else(
    lake: Lake, model: Manifest, model_folder: Path, tmp_path: Path
) -> None:
    params = EngineParams(arguments=("--max-model-len", "150"))
    server = start_server(model_folder, "fake", sys.executable, tmp_path / "log", params)
    prompts = [*PROMPTS[:5], Prompt("long", "word " * 40)]
    try:
        backend = Backend(Endpoint(server.url, SERVED_NAME))
        with pytest.raises(ContextOverflow, match=r"1 of 6 prompts do not fit .*recorded; e\.g\. problem long.*150"):
            list(candidates(desk(lake), lambda: nullcontext([backend]), model, prompts, SAMPLING, "t"))
    finally:
        server.stop()
    assert recorded(Pool(lake, Identity(model.digest, SAMPLING.digest(), "t"), model)).height == 5 * 8


def test_a_cut_answer_is_continued_once_under_its_own_seed(server: Server, lake: Lake, model: Manifest) -> None:
    backend = Backend(Endpoint(server.url, SERVED_NAME))
    short = SAMPLING.model_copy(update={"max_tokens": 11, "truncated": "continue"})
    frame = pl.concat(candidates(desk(lake), lambda: nullcontext([backend]), model, PROMPTS, short, "t"))

    async def uncut(row: dict[str, Any]) -> Completion:
        async with Router([backend]) as router:
            (found,) = await complete(router, CompletionRequest(row["prompt"], 1, row["seed"]), Decoding(1.0, 1.0, 500))
            return found

    reasons = set()
    # what the test's tokenizer does not know it cannot give back
    for row in frame.filter(~pl.col("completion").str.contains("<unk>")).head(60).iter_rows(named=True):
        whole = asyncio.run(uncut(row))
        reasons.add((whole.tokens > 11, row["finish_reason"]))
        assert whole.text.startswith(row["completion"])
        assert row["completion_tokens"] == min(whole.tokens, 22)
    assert reasons == {(True, "stop"), (True, "length")}, "continued to its end, and cut a second time"
