"""Whether a Ray cluster answers where a recipe says it is: a connection and nothing else, without Ray's import."""

import socket
from urllib.parse import urlsplit

from r1data.errors import ClusterUnavailable, RecipeError
from r1data.ray_params import RayParams

ANSWERS_S = 5.0
REMEDY = "start it (`ray start --head`), or set [cluster.ray] address and jobs to where it is: docs/operations.md"


def require_answer(params: RayParams) -> None:
    """`ClusterUnavailable` names what does not answer; an address `auto` is Ray's own to find."""
    for field, address in (("address", params.address), ("jobs", params.jobs)):
        if address and address != "auto" and (fault := fault_of(address)):
            raise ClusterUnavailable(f"[cluster.ray] {field} = {address!r}: {fault}", REMEDY)


def fault_of(address: str) -> str:
    """Why nothing can be connected to at host:port or a URL; empty if something answers."""
    place = urlsplit(address if "://" in address else f"//{address}")
    host, _, number = place.netloc.rpartition(":")
    if not host or not number.isdecimal():
        raise RecipeError(
            f"[cluster.ray] {address!r} is no address", "write host:port, ray://host:port or http://host:port"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(number)), ANSWERS_S):
            return ""
    except OSError as e:
        return f"does not answer ({e})"
