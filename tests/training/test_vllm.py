"""Real vLLM on CPU: seeds by child, exact reloads checked by probes, stale weights caught, nothing left behind."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import aiohttp
import httpx
import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2ForCausalLM

from r1data.endpoint import tokens_made
from r1data.errors import ModelError
from r1data.generate.candidates import candidates
from r1data.generate.client import CompletionRequest, Decoding, completions
from r1data.generate.fleet import Fleet
from r1data.generate.sampling import Prompt
from r1data.generate.weights import is_paused, weight_version
from r1data.launch import ENVIRONMENT
from r1data.manifest import FileEntry, Manifest
from r1data.sampling_params import SamplingParams
from r1data.storage import Lake
from r1data.training_params import ArchitectureParams
from tests.running import desk, members
from training.checkpoint import probe
from training.engine import ServerEngine
from training.groups import Groups
from training.pretrain import configuration
from training.tokens import trained_tokenizer
from training.transfer import Files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TEXTS = ["User: 23+45=?\nAssistant:\n<think>3 plus 5 is 8</think><answer>68</answer>"] * 30
PROBES = ["User: 23+45=?\nAssistant:\n", "User: hello\nAssistant:\n"]
REQUESTS = [CompletionRequest(f"User: {i}+23=?\nAssistant:\n", 4, 1000 * i) for i in range(6)]
DECODING = Decoding(temperature=1.0, top_p=1.0, max_tokens=24, logprobs=True)
IN_PROCESS = """
import pickle, sys
from pathlib import Path
from safetensors.torch import load_file
from training.core import start
from training.engine import InProcessEngine

folder, other, asked, out = map(Path, sys.argv[1:])
rank, world = start(0)
engine = InProcessEngine(folder, "float32", rank, world)
engine.load(load_file(other), "v1")
answers = engine.complete(*pickle.loads(asked.read_bytes()))
engine.close()
if rank == 0:
    out.write_bytes(pickle.dumps(answers))
"""


def checkpoint(lake: Lake, name: str, seed: int) -> Manifest:
    """A random tied model of the demo's kind in the lake, with its probe."""
    torch.manual_seed(seed)
    tokenizer = trained_tokenizer(TEXTS)
    architecture = ArchitectureParams(hidden_size=64, intermediate_size=64, layers=1, heads=2, kv_heads=2)
    model = Qwen2ForCausalLM(configuration(architecture, len(tokenizer))).eval()
    folder = Path(lake.path(f"data/{name}/k"))
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    files = tuple(FileEntry(path=f"data/{name}/k/{p.name}", bytes=1, sha256="") for p in sorted(folder.iterdir()))
    told = probe(model, tokenizer, PROBES)
    place = f"data/{name}/k"
    return Manifest(
        kind="checkpoint", name=name, path=place, key="k", step="s", version="1", digest=name, files=files, probe=told
    )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("vllm")
    with Fleet(Lake.open(str(folder / "lake")), folder / "scratch", sys.executable, "vllm") as found:
        yield found


def test_seeds_reloads_and_probes(fleet: Fleet) -> None:
    one, two = checkpoint(fleet.lake, "one", 1), checkpoint(fleet.lake, "two", 2)
    requests = [CompletionRequest(f"User: {i}+23=?\nAssistant:\n", 8, 1000 * i) for i in range(32)]
    with fleet.hold(one) as backends:
        endpoint = backends[0].endpoint
        together = completions(endpoint, requests, DECODING)
        alone = completions(endpoint, [CompletionRequest(requests[3].prompt, 1, 3005)], DECODING)
    assert alone[0][0] == together[3][5], "child i of a request is the request with seed + i"

    with fleet.hold(two):  # its probe is checked inside
        assert completions(endpoint, requests[:4], DECODING) != together[:4]
        assert weight_version(endpoint.url) == two.digest[:16]
    with fleet.hold(one):
        assert completions(endpoint, requests[:4], DECODING, in_flight=1) == together[:4]

    wrong = two.model_copy(update={"digest": "wrong", "probe": one.probe})
    with pytest.raises(ModelError, match="stale weights"), fleet.hold(wrong):
        pass
    assert len(fleet.servers) == 1, "one warm server for one architecture"


def test_weights_come_in_buckets_and_wrong_ones_are_named(fleet: Fleet, tmp_path: Path) -> None:
    one, two = checkpoint(fleet.lake, "one", 1), checkpoint(fleet.lake, "two", 2)
    weights = load_file(fleet.lake.path(f"{two.path}/model.safetensors"))
    with fleet.hold(one, driven=True) as backends:
        engine = ServerEngine([backends[0].endpoint], 0, Files(tmp_path), bucket_bytes=1 << 14)
        wide = weights | {"model.layers.0.self_attn.q_proj.weight": torch.zeros(96, 64)}
        with pytest.raises(ModelError, match=r"q_proj\.weight is \[96, 64\], the model's is \[64, 64\]"):
            engine.load(wide, "wide")
        with pytest.raises(ModelError, match=r"parameters did not come: model\.layers\.0\.mlp"):
            engine.load({n: w for n, w in weights.items() if "mlp" not in n}, "partial")
        assert is_paused(backends[0].endpoint.url)
        httpx.post(f"{backends[0].endpoint.url}/start_weight_update", json={}, trust_env=False, timeout=60)
        engine.load(iter(weights.items()), "whole")
        found = engine.complete(REQUESTS, DECODING)
    with fleet.hold(two) as backends:  # whole, and checked by its probe
        assert completions(backends[0].endpoint, REQUESTS, DECODING) == found


def test_weights_over_a_process_group_give_the_same_rollouts(fleet: Fleet, tmp_path: Path) -> None:
    one, two = checkpoint(fleet.lake, "one", 1), checkpoint(fleet.lake, "two", 2)
    first, weights = (load_file(fleet.lake.path(f"{m.path}/model.safetensors")) for m in (one, two))
    with fleet.hold(one, driven=True) as backends:
        endpoint = backends[0].endpoint
        files = ServerEngine([endpoint], 0, Files(tmp_path))
        files.load(first, "v0")
        before = files.complete(REQUESTS, DECODING)
        files.load(weights, "v1")
        expected = files.complete(REQUESTS, DECODING)
        assert expected != before
        group = ServerEngine([endpoint], 0, Groups("gloo"), bucket_bytes=1 << 14)
        group.load(first, "v2")
        assert group.complete(REQUESTS, DECODING) == before
        with pytest.raises(ModelError, match=r"q_proj\.weight is \[96, 64\], the model's is \[64, 64\]"):
            group.load(weights | {"model.layers.0.self_attn.q_proj.weight": torch.zeros(96, 64)}, "wide")
        group.load(iter(weights.items()), "v3")
        assert group.complete(REQUESTS, DECODING) == expected
        group.load(weights, "v4")  # over the same group
        group.close()
        ServerEngine([endpoint], 0, Groups("gloo")).load(weights, "v5")  # another trainer's
        assert weight_version(endpoint.url) == "v5"


def test_it_tells_its_tokens_and_candidates_keep_their_logprobs(fleet: Fleet, tmp_path: Path) -> None:
    one = checkpoint(fleet.lake, "one", 1)
    sampling = SamplingParams(samples=4, temperature=0.8, max_tokens=20, truncated="continue", logprobs=True)
    prompts = [Prompt(f"p{i}", f"User: {i}+23=?\nAssistant:\n") for i in range(8)]
    with fleet.hold(one) as backends:
        url = backends[0].endpoint.url
        before = asyncio.run(_tokens_made(url))
        (frame,) = candidates(desk(fleet.lake), lambda: nullcontext(backends), one, prompts, sampling, "t")
        made = asyncio.run(_tokens_made(url)) - before
    assert frame.height == 32
    assert frame["completion_tokens"].sum() == made, "the watchdog sees every token"
    assert frame["completion_tokens"].max() == 40, "cut at 20, continued once"
    assert frame["logprobs"].list.len().to_list() == frame["completion_tokens"].to_list()
    assert frame["logprobs"].list.max().max() <= 0  # type: ignore[operator]


async def _tokens_made(url: str) -> float:
    async with aiohttp.ClientSession() as session:
        return await tokens_made(session, url, 5)


def test_killed_parent_leaves_no_server(fleet: Fleet, tmp_path: Path) -> None:
    model = fleet.lake.path("data/one/k")
    code = (
        "import sys, time; from pathlib import Path; from r1data.generate.server import start_server;"
        f"s = start_server(Path({model!r}), 'vllm', sys.executable, Path({str(tmp_path / 'log')!r}));"
        "print(s.process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    group = int(parent.stdout.readline())
    assert members(group)
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while members(group) and time.monotonic() < deadline:
        time.sleep(0.5)
    left = members(group)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_vllm_inside_the_trainer_gives_the_servers_rollouts(fleet: Fleet, tmp_path: Path) -> None:
    """In a process of its own: vLLM sets up torch.distributed for all that follows."""
    one, two = checkpoint(fleet.lake, "one", 1), checkpoint(fleet.lake, "two", 2)
    with fleet.hold(two) as backends:
        expected = completions(backends[0].endpoint, REQUESTS, DECODING)
    asked = tmp_path / "asked"
    asked.write_bytes(pickle.dumps((REQUESTS, DECODING)))
    weights = fleet.lake.path(f"{two.path}/model.safetensors")
    for ranks in (1, 2):
        out = tmp_path / f"answers-{ranks}"
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
        script = tmp_path / "main.py"
        script.write_text(IN_PROCESS)
        command = [sys.executable, *torchrun, str(script), fleet.lake.path(one.path), weights, str(asked), str(out)]
        ended = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
        found = pickle.loads(out.read_bytes())
        assert [[c.token_ids for c in g] for g in found] == [[c.token_ids for c in g] for g in expected]
        gaps = [
            abs(a - b)
            for g, h in zip(found, expected, strict=True)
            for x, y in zip(g, h, strict=True)
            for a, b in zip(x.logprobs, y.logprobs, strict=True)
        ]
        assert max(gaps) < 1e-4


def test_folder_that_is_no_model_is_refused(fleet: Fleet) -> None:
    entry = FileEntry(path="data/none/k/readme.txt", bytes=1, sha256="")
    fleet.lake.write(entry.path, b"x")
    manifest = Manifest(
        kind="checkpoint", name="none", path="data/none/k", key="k", step="s", version="1", digest="n", files=(entry,)
    )
    with pytest.raises(ModelError, match=r"is no model folder: no config\.json"), fleet.hold(manifest):
        pass
