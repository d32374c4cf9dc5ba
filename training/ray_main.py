"""Ranks of a training main as workers of Ray Train: `python -m training.ray_main PARAMS RANKS STOP_S MODULE TOLD...`.

Runs inside of a Ray Job (`r1data.ray_job` hands it in). Every worker starts the same main that torchrun would start, as
a process of its own, told by the same variables who it is. SIGTERM reaches all of them, so that their state is saved.

Exit status 0: the checkpoint is committed; 1: a rank failed; 143: ended by SIGTERM, state saved.
"""

import asyncio
import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import ray
from ray import train
from ray.train.backend import Backend, BackendConfig
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from r1data.child import tied
from r1data.errors import StageFailed
from r1data.launch import Child, end_child, run_child
from r1data.ray_params import RayParams

ENDED = "exit code 143"


class Bell:
    """Rung once, when the job is told to stop; who listens is many."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    async def ring(self) -> None:
        """Let all who listen go on."""
        self.rung.set()

    async def heard(self) -> None:
        """Return when it has rung."""
        await self.rung.wait()


class _Sharing(Backend):
    share_cuda_visible_devices = True  # LOCAL_RANK counts the devices of a node, as under torchrun


class _SharingConfig(BackendConfig):
    @property
    def backend_cls(self) -> type[Backend]:
        return _Sharing


def main(arguments: list[str]) -> int:
    """Build the workers, wait for all ranks, answer with an exit status."""
    told, ranks, stop_s, *command = arguments
    params = RayParams.model_validate_json(told)
    ray.init(log_to_driver=True)
    bell: Any = ray.remote(num_cpus=0)(Bell).remote()

    def ring(number: int, frame: FrameType | None) -> None:
        bell.ring.remote()

    signal.signal(signal.SIGTERM, ring)
    notes = Path(command[command.index("--scratch") + 1]) / "ray" / command[command.index("--key") + 1]
    trainer = DataParallelTrainer(
        rank,
        train_loop_config={"command": command, "bell": bell, "stop_s": float(stop_s)},
        backend_config=_SharingConfig(),
        scaling_config=train.ScalingConfig(
            num_workers=int(ranks),
            use_gpu=params.gpus_per_rank > 0,
            resources_per_worker={"CPU": params.cpus_per_rank, "GPU": params.gpus_per_rank},
        ),
        run_config=train.RunConfig(name=notes.name, storage_path=str(notes.parent)),
    )
    try:
        trainer.fit()
    except train.TrainingFailedError as e:
        print(f"error: {e}", file=sys.stderr, flush=True)
        return 143 if ENDED in str(e) else 1
    finally:
        shutil.rmtree(notes, ignore_errors=True)
    return 0


def rank(config: dict[str, Any]) -> None:
    """One rank: the main in a process of its own, until it ends; raises `StageFailed` with its last lines."""
    context = train.get_context()
    here = _free_place() if context.get_world_rank() == 0 else None
    address, port = broadcast_from_rank_zero(here)
    who = {"RANK": context.get_world_rank(), "WORLD_SIZE": context.get_world_size()}
    who |= {"LOCAL_RANK": context.get_local_rank(), "LOCAL_WORLD_SIZE": context.get_local_world_size()}
    os.environ.update({name: str(value) for name, value in who.items()}, MASTER_ADDR=address, MASTER_PORT=str(port))
    children: set[Child] = set()
    threading.Thread(target=_listen, args=(config["bell"], children, config["stop_s"]), daemon=True).start()
    command = tied([sys.executable, "-m", *config["command"]], signal.SIGTERM)
    tail = run_child(command, _say, children, config["stop_s"])
    if tail is not None:
        told = "\n".join(f"    {line}" for line in tail)
        raise StageFailed(f"rank {who['RANK']} on {_address()} failed. Its last lines:\n{told}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # Ray Train makes two of what is printed


def _listen(bell: Any, children: set[Child], stop_s: float) -> None:
    ray.get(bell.heard.remote())
    for child in list(children):
        end_child(child, stop_s)


def _address() -> str:
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def _free_place() -> tuple[str, int]:
    """Where ranks meet: this node, at a port that was free a moment ago."""
    with socket.socket() as s:
        s.bind((_address(), 0))
        return _address(), int(s.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
