"""The stand-in of vLLM with workers that take weights over a process group, by the product's own receiving end.

python -m tests.training.group_server --model DIR --port PORT --workers 2
"""

import argparse
import asyncio
import hashlib
import os
from pathlib import Path

import torch
from aiohttp import web
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # its stubs leave it out

from r1data.generate.fake_server import FakeServer, FakeWeights, serve
from r1data.model_folder import MISFIT, misfits
from training import groups
from training.groups import Gone, Group, received


class GroupWeights(FakeWeights):
    """Groups for FakeWeights; what each worker received is told at /held, by name."""

    def __init__(self, model: Path, workers: int, device: str) -> None:
        super().__init__(model)
        self.device = torch.device(device)
        self.workers, self.joined, self.dies = workers, 0, False
        self.groups: list[Group] = []
        self.digests: list[dict[str, str]] = [{} for _ in range(workers)]

    def routes(self) -> list[web.RouteDef]:
        """All paths."""
        found = [r for r in super().routes() if r.path != "/init_weight_transfer_engine"]
        more = [web.get("/get_world_size", self.size), web.get("/held", self.held)]
        return [*found, *more, web.post("/init_weight_transfer_engine", self.join)]

    async def size(self, _: web.Request) -> web.Response:
        """As of vLLM."""
        return web.json_response({"world_size": self.workers})

    async def held(self, _: web.Request) -> web.Response:
        """Groups joined so far, and a digest of every tensor of every worker."""
        return web.json_response({"joined": self.joined, "digests": self.digests})

    async def join(self, request: web.Request) -> web.Response:
        """Every worker in a thread."""
        told = (await request.json())["init_info"]
        if self.dies:
            TCPStore(told["host"], told["port"], is_master=False, wait_for_workers=False).add(groups.READY, 1)
            os._exit(1)
        self._leave()
        where = told["host"], told["port"], told["backend"]
        ranks = range(1, 1 + self.workers)
        tries = (asyncio.to_thread(Group.join, *where, rank, told["world"], self.device) for rank in ranks)
        try:
            self.groups = list(await asyncio.gather(*tries))
        except Gone as e:
            return self._failed(f"group: {e}")
        self.joined += 1
        return web.json_response({})

    async def update(self, request: web.Request) -> web.Response:
        """Every worker its copy."""
        told = (await request.json())["update_info"]
        if "names" not in told:
            return await super().update(request)
        if wrong := misfits(dict(zip(told["names"], map(tuple, told["shapes"]), strict=True)), self.shapes):
            self._leave()
            return self._failed(f"{MISFIT}: {wrong}")
        if not self.groups:
            return self._failed("in no group")
        try:
            parts = await asyncio.gather(*(asyncio.to_thread(received, g, told, self.device) for g in self.groups))
        except Gone as e:
            self._leave()
            return self._failed(f"group: {e}")
        for digests, part in zip(self.digests, parts, strict=True):
            digests |= {name: digest(tensor) for name, tensor in part.items()}
        self.given |= set(told["names"])
        return web.json_response({})

    def _leave(self) -> None:
        for group in self.groups:
            group.close()
        self.groups = []


def digest(tensor: torch.Tensor) -> str:
    """Of type, shape and bytes."""
    content = tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode() + content).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dies", action="store_true", help="when the trainer counts on it, before the group is made")
    parser.add_argument("--limit-s", type=float, default=groups.LIMIT_S)
    told = parser.parse_args()
    groups.LIMIT_S = told.limit_s
    server = FakeServer(told.model, 0.0, 1 << 20, 256, None)
    server.weights = weights = GroupWeights(told.model, told.workers, told.device)
    weights.dies = told.dies
    asyncio.run(serve(server, told.port))
