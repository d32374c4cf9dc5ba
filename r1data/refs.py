"""Refs: small JSON files that say which dataset or checkpoint is current for a recipe and node, with their history.

Moving a ref is the publish step; moving it back is the roll-back.
"""

import difflib
from functools import cached_property

from pydantic import ValidationError

from r1data.errors import CorruptShard, LakeError
from r1data.manifest import MANIFEST, Manifest, read_manifest
from r1data.params import Params
from r1data.storage import Lake

HISTORY = 100


class RefTarget(Params):
    """Where a ref points: directory and logical digest."""

    path: str
    digest: str


class Ref(Params):
    """The current target and the earlier ones, latest first."""

    name: str
    current: RefTarget
    history: tuple[RefTarget, ...] = ()


def ref_file(name: str) -> str:
    """The object that holds a ref."""
    return f"refs/{name}.json"


def list_refs(lake: Lake) -> list[str]:
    """Names of all refs, sorted."""
    return [n.removeprefix("refs/").removesuffix(".json") for n in lake.names("refs") if n.endswith(".json")]


def find_ref(lake: Lake, name: str) -> Ref | None:
    """The ref of a name, by one request; None where there is none."""
    if (data := lake.get(ref_file(name))) is None:
        return None
    try:
        return Ref.model_validate_json(data)
    except ValidationError as e:
        raise CorruptShard(f"{lake.uri(ref_file(name))}: not a ref: {e}", "restore it, or run the recipe again") from e


def read_ref(lake: Lake, name: str) -> Ref:
    """The ref of a name such as `demo/cold_start`; unknown names are answered with the nearest known."""
    found = find_ref(lake, name)
    if found is None:
        near = difflib.get_close_matches(name, list_refs(lake), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "`r1 status` lists the refs of this lake"
        raise LakeError(f"{lake.url}: no ref {name!r}", hint)
    return found


def resolve(lake: Lake, name: str) -> Manifest:
    """The manifest that a ref points to."""
    return read_manifest(lake, read_ref(lake, name).current.path)


class Current:
    """What refs point to at one moment: their list and each manifest are read once, when first asked for."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._found: dict[str, Manifest] = {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of all refs, sorted."""
        return tuple(list_refs(self.lake))

    def of(self, recipe: str) -> list[str]:
        """Those of a recipe."""
        return [name for name in self.names if name.startswith(f"{recipe}/")]

    def __contains__(self, name: str) -> bool:
        """Whether there is a ref of that name."""
        return name in self.names

    def __getitem__(self, name: str) -> Manifest:
        """The manifest that a ref points to; `LakeError` for an unknown name."""
        if name not in self._found:
            self._found[name] = resolve(self.lake, name)
        return self._found[name]


def target(lake: Lake, what: str) -> Manifest:
    """The manifest of a ref, of REF@DIGEST (one of its targets, by the beginning of the digest) or of a directory.

    A directory is given by its name in the lake, by its URL, or by that of its manifest.
    """
    folder = what.removeprefix(lake.uri()).lstrip("/").removesuffix(MANIFEST).rstrip("/")
    if folder.startswith("data/"):
        return read_manifest(lake, folder)
    name, _, digest = what.partition("@")
    if not digest:
        return resolve(lake, name)
    ref = read_ref(lake, name)
    targets = (ref.current, *ref.history)
    found = [t for t in targets if t.digest.startswith(digest)]
    if not found or len({t.digest for t in found}) > 1:
        told = ", ".join(dict.fromkeys(t.digest[:12] for t in targets))
        fault = "no target" if not found else "several targets"
        raise LakeError(f"{lake.url}: ref {name!r} has {fault} of digest {digest!r}", f"its digests: {told}")
    return read_manifest(lake, found[0].path)


def move_ref(lake: Lake, name: str, manifest: Manifest) -> None:
    """Point a ref at a committed dataset; the old target joins the history. A ref that points there stays as it is."""
    target = RefTarget(path=manifest.path, digest=manifest.digest)
    history: tuple[RefTarget, ...] = ()
    if old := find_ref(lake, name):
        if old.current == target:
            return
        history = (old.current, *(h for h in old.history if h != old.current))[:HISTORY]
    lake.write(ref_file(name), Ref(name=name, current=target, history=history).model_dump_json(indent=1).encode())
