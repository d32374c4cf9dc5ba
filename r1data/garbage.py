"""What no ref reaches, and may go: directories of `data/`, map shards, answers of checkpoints that are gone, temporary
files, leases of runs that died, and what runs left in the scratch folder.

Reached is what any target of any ref, earlier ones included, names or was made from, through all parents. What is
younger than a limit stays, with all that it was made from: a run may be about to commit it or to move a ref to it.
Refs, lineage events, reviews, pilots, reports and objects of unknown names are never garbage.
"""

import re
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from r1data.errors import LakeError
from r1data.manifest import MANIFEST, Manifest, read_manifest
from r1data.refs import Ref, list_refs, read_ref
from r1data.served import Served
from r1data.storage import Lake, Stored

DAY_S = 86_400.0
OLDER_THAN_S = 7 * DAY_S
RUNNING_S = 3_600.0  # a lease is renewed every ten seconds; the rest is for clocks that differ
KEY = "[0-9a-f]{32}"
UNITS = (
    ("temporary file", re.compile(r"(?:.+/)?\.[^/]+\.[0-9a-f]{8}$")),
    ("shard", re.compile(rf"data/.+/shards/{KEY}\.parquet$")),
    ("directory", re.compile(rf"data/.+?/{KEY}(?=/)")),
    ("pointer", re.compile(rf"shards/{KEY}\.json$")),
    ("answers", re.compile(r"calls/[^/]+(?=/)")),
    ("lease", re.compile(r"leases/.+\.json$")),
)
FIRST = ("pointer", "directory")  # what a run would find goes before what it would then miss


@dataclass
class Unit:
    """What goes or stays as one: its kind, its name (a directory or an object), its objects, and why it may go."""

    kind: str
    name: str
    why: str = "no ref reaches it"
    objects: list[Stored] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Of all objects."""
        return sum(o.bytes for o in self.objects)

    @property
    def modified(self) -> float:
        """When the newest object was written."""
        return max(o.modified for o in self.objects)

    @property
    def committed(self) -> bool:
        """Whether it is a directory with a manifest."""
        return any(o.name == f"{self.name}/{MANIFEST}" for o in self.objects)


def garbage(lake: Lake, older_than_s: float = OLDER_THAN_S, *, answers: bool = False) -> list[Unit]:
    """Units that may go, sorted by kind and name; `LakeError` where a ref or manifest that decides cannot be read.

    Recorded answers stay while a recipe could use them: while their checkpoint is reached, or their model is served
    elsewhere. `answers` gives them up too.
    """
    now = time.time()
    refs = [read_ref(lake, name) for name in list_refs(lake)]  # before the objects: what a ref points to is listed
    units = _units(lake)
    young = {u.name for u in units.values() if u.modified > now - older_than_s}
    running = {u.name for u in units.values() if u.kind == "lease" and u.modified > now - RUNNING_S}
    roots = _targets(lake, refs, units) | {_leased(name) for name in running}
    manifests = reached(lake, roots | {n for n in young if units[n].kind == "directory"}, units)
    kept = roots | young | running | {p.path for m in manifests for p in m.parents}
    kept |= {m.path for m in manifests} | {_unit(e.path)[1] for m in manifests for e in m.entries}
    kept |= _pointers(units, kept)
    models = {m.digest for m in manifests if m.kind == "checkpoint"}
    found = [u for name, u in units.items() if name not in kept]
    found = [u for u in found if u.kind != "answers" or answers or _lost(lake, u, models)]
    return sorted(found, key=lambda u: (u.kind, u.name))


def removed(lake: Lake, units: Iterable[Unit], older_than_s: float, *, answers: bool = False) -> list[Unit]:
    """Delete those of the units that are still garbage now; returns them."""
    still = {u.name for u in garbage(lake, older_than_s, answers=answers)}
    gone = sorted((u for u in units if u.name in still), key=lambda u: u.kind not in FIRST)
    for unit in gone:
        for stored in sorted(unit.objects, key=lambda o: not o.name.endswith(MANIFEST)):
            lake.delete(stored.name)
        if lake.is_local and unit.kind == "directory":
            _remove_empty(Path(lake.path(unit.name)))
    return gone


def reached(lake: Lake, roots: Iterable[str], units: dict[str, Unit]) -> list[Manifest]:
    """The manifests at the roots and of all that they were made from; directories without one have none."""
    seen: set[str] = set()
    found: list[Manifest] = []
    following = set(roots)
    with ThreadPoolExecutor(16) as pool:
        while following:
            seen |= following
            there = sorted(p for p in following if p in units and units[p].committed)
            manifests = list(pool.map(lambda path: read_manifest(lake, path), there))
            found += manifests
            following = {p.path for m in manifests for p in m.parents} - seen
    return found


def scratch_garbage(scratch: Path, lake: Lake, older_than_s: float = OLDER_THAN_S) -> list[tuple[Path, int, float]]:
    """(folder, bytes, Unix time) of what runs left there: spilled shards, copies of models, saved states.

    A saved state lets a training resume: it stays while young or leased. Copies of models stay while there is a lease.
    """
    now = time.time()
    leased = {_leased(o.name) for o in lake.objects("leases") if o.modified > now - RUNNING_S}
    folders = [*scratch.glob("shards-*"), *(() if leased else scratch.glob("models/*"))]
    folders += [p for p in scratch.rglob("*") if re.fullmatch(KEY, p.name) and p.is_dir()]
    kept = {scratch / name.removeprefix("data/") for name in leased}
    told = [(p, *_size(p)) for p in sorted(folders) if p not in kept]
    return [(p, size, modified) for p, size, modified in told if modified < now - older_than_s]


def remove_scratch(folders: Iterable[Path]) -> None:
    """Delete folders that `scratch_garbage` named."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _units(lake: Lake) -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    for stored in lake.objects(""):
        kind, name = _unit(stored.name)
        if name:
            found.setdefault(name, Unit(kind, name)).objects.append(stored)
    for unit in found.values():
        if unit.kind == "directory" and not unit.committed:
            unit.why = "never committed"
    return found


def _unit(name: str) -> tuple[str, str]:
    """Kind and name of what an object belongs to; empty for what is never garbage."""
    for kind, pattern in UNITS:
        if found := pattern.match(name):
            return kind, found.group()
    return "", ""


def _targets(lake: Lake, refs: list[Ref], units: dict[str, Unit]) -> set[str]:
    """The directories that refs point to or pointed to; a current one has to be there, or nobody knows its parents."""
    if not refs and any(u.committed for u in units.values()):
        raise LakeError(f"{lake.url}: datasets and no ref, so what is needed is unknown", "restore refs/ from a copy")
    for ref in refs:
        path = ref.current.path
        if path not in units or not units[path].committed:
            remedy = "restore it from a copy, or run the recipe again; nothing was deleted"
            raise LakeError(f"{ref.name}: no manifest in {lake.uri(path)}, so what it needs is unknown", remedy)
    return {t.path for ref in refs for t in (ref.current, *ref.history)}


def _leased(lease: str) -> str:
    """What a lease is on: a node's directory, or recorded answers."""
    name = lease.removeprefix("leases/").removesuffix(".json")
    return name if name.startswith("calls/") else f"data/{name}"


def _pointers(units: dict[str, Unit], kept: set[str]) -> set[str]:
    """Pointers to shards that stay."""
    keys = {Path(name).stem for name in kept if units.get(name) and units[name].kind == "shard"}
    return {name for name, u in units.items() if u.kind == "pointer" and Path(name).stem in keys}


def _lost(lake: Lake, unit: Unit, models: set[str]) -> bool:
    """Whether a checkpoint that nothing reaches gave these answers."""
    parts = [o.name for o in unit.objects if o.name.endswith(".parquet")]
    if not parts:
        return True
    try:
        row = next(lake.batches(parts[0], ["model", "model_digest"])).slice(0, 1).to_pylist()[0]
    except (LakeError, StopIteration):  # nobody knows whose they are
        return False
    unit.why = "of a checkpoint that no ref reaches"
    served = {Served(row["model"], chat=chat).digest for chat in (True, False)}
    return row["model_digest"] not in models | served


def _size(folder: Path) -> tuple[int, float]:
    stats = [p.stat() for p in (folder, *folder.rglob("*"))]
    return sum(s.st_size for s in stats), max(s.st_mtime for s in stats)


def _remove_empty(folder: Path) -> None:
    """A folder and those in it, unless somebody has put something there meanwhile."""
    folders = [folder, *(p for p in folder.rglob("*") if p.is_dir())]
    for path in sorted(folders, reverse=True):
        with suppress(OSError):
            path.rmdir()
