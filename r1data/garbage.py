"""What no ref reaches, and may go: directories of `data/`, map shards, answers of checkpoints that are gone, temporary
files, leases of runs that died, and what runs left in the scratch folder.

Reached is what any target of any ref, earlier ones included, names or was made from, through all parents. What is
younger than a limit stays, with all that it was made from: a run may be about to commit it or to move a ref to it.
Refs, lineage events, reviews, pilots, reports and objects of unknown names are never garbage.
"""

import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from r1data.errors import LakeError
from r1data.manifest import MANIFEST, read_manifest
from r1data.refs import list_refs, read_ref
from r1data.served import Served
from r1data.spill import spilled
from r1data.storage import Lake

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
FOLDERS = ("directory", "answers")
READERS = 16
TABLES = """
CREATE TABLE units (name TEXT PRIMARY KEY, kind TEXT, bytes INT, modified REAL, committed INT,
    objects INT DEFAULT 1, kept INT DEFAULT 0, read INT DEFAULT 0) WITHOUT ROWID;
CREATE INDEX unread ON units (name) WHERE kept AND committed AND NOT read;
CREATE TABLE targets (ref TEXT, path TEXT, current INT);
CREATE TABLE models (digest TEXT PRIMARY KEY) WITHOUT ROWID;
"""
ADDED = """
INSERT INTO units (name, kind, bytes, modified, committed) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
    bytes = bytes + excluded.bytes, modified = max(modified, excluded.modified),
    committed = max(committed, excluded.committed), objects = objects + 1
"""
NO_REF = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM targets) AND EXISTS (SELECT 1 FROM units WHERE committed)"
LOST = "SELECT ref, path FROM targets WHERE current AND path NOT IN (SELECT name FROM units WHERE committed) LIMIT 1"
ROOTS = "UPDATE units SET kept = 1 WHERE modified > ? OR name IN (SELECT path FROM targets)"
RUNNING = "SELECT name FROM units WHERE kind = 'lease' AND modified > ?"
UNREAD = "SELECT name FROM units WHERE kept AND committed AND NOT read LIMIT ?"
POINTERS = """
UPDATE units SET kept = 1 WHERE kind = 'pointer' AND name IN (
    SELECT 'shards/' || substr(name, -40, 32) || '.json' FROM units WHERE kind = 'shard' AND kept)
"""
# what a run would find goes before what it would then miss
LISTED = """
SELECT kind, name, CASE WHEN kind = 'directory' AND NOT committed THEN 'never committed'
    WHEN kind = 'answers' AND NOT ? THEN 'of a checkpoint that no ref reaches' ELSE 'no ref reaches it' END,
    objects, bytes, modified
FROM units WHERE NOT kept ORDER BY kind NOT IN ('pointer', 'directory'), kind, name
"""


@dataclass(frozen=True)
class Unit:
    """What goes or stays as one: its kind, its name (a directory or an object), why it may go; of its objects the
    number, all bytes, and when the newest was written."""

    kind: str
    name: str
    why: str
    objects: int
    bytes: int
    modified: float


class Garbage:
    """Units that may go, in the order in which they would: by kind and name, what a run would find before the rest."""

    def __init__(self, tables: sqlite3.Connection, answers: bool) -> None:
        self._tables, self._answers = tables, answers

    def __iter__(self) -> Iterator[Unit]:
        """One at a time."""
        return (Unit(*row) for row in self._tables.execute(LISTED, (self._answers,)))

    def __len__(self) -> int:
        """How many."""
        return int(self._sum("COUNT(*)"))

    def __contains__(self, name: str) -> bool:
        """Whether a unit of that name may go."""
        return self._tables.execute("SELECT 1 FROM units WHERE name = ? AND NOT kept", (name,)).fetchone() is not None

    @property
    def objects(self) -> int:
        """Of all units."""
        return int(self._sum("SUM(objects)"))

    @property
    def bytes(self) -> int:
        """Of all units."""
        return int(self._sum("SUM(bytes)"))

    def _sum(self, what: str) -> int:
        return self._tables.execute(f"SELECT {what} FROM units WHERE NOT kept").fetchone()[0] or 0


@contextmanager
def garbage(lake: Lake, older_than_s: float = OLDER_THAN_S, *, answers: bool = False) -> Iterator[Garbage]:
    """Units that may go; `LakeError` where a ref or manifest that decides cannot be read.

    Recorded answers stay while a recipe could use them: while their checkpoint is reached, or their model is served
    elsewhere. `answers` gives them up too. Names are in a temporary file: memory holds READERS manifests at a time.
    """
    now = time.time()
    with spilled(TABLES) as tables:
        for name in list_refs(lake):  # before the objects: what a ref points to is listed
            ref = read_ref(lake, name)
            told = ((name, t.path, t is ref.current) for t in (ref.current, *ref.history))
            tables.executemany("INSERT INTO targets VALUES (?, ?, ?)", told)
        tables.executemany(ADDED, _listed(lake))
        _check_targets(lake, tables)
        tables.execute(ROOTS, (now - older_than_s,))
        leases = [name for (name,) in tables.execute(RUNNING, (now - RUNNING_S,))]
        _keep(tables, (*leases, *map(_leased, leases)))
        _follow(lake, tables)
        tables.execute(POINTERS)
        if not answers:
            _keep(tables, _wanted(lake, tables))
        yield Garbage(tables, answers)


def removed(lake: Lake, units: Iterable[Unit], older_than_s: float, *, answers: bool = False) -> int:
    """Delete those of the units that are still garbage now; how many."""
    with garbage(lake, older_than_s, answers=answers) as now:
        return sum(_delete(lake, unit) for unit in units if unit.name in now)


def _delete(lake: Lake, unit: Unit) -> bool:
    """Delete a unit, its manifest first; one that was written to since it was listed stays."""
    if unit.kind not in FOLDERS:
        lake.delete(unit.name)
        return True
    objects = [o for o in lake.walk(unit.name) if _unit(o.name)[1] == unit.name]
    if any(o.modified > unit.modified for o in objects):
        return False
    for stored in sorted(objects, key=lambda o: not o.name.endswith(MANIFEST)):
        lake.delete(stored.name)
    if lake.is_local and unit.kind == "directory":
        _remove_empty(Path(lake.path(unit.name)))
    return True


def _follow(lake: Lake, tables: sqlite3.Connection) -> None:
    """Keep what the manifests of kept directories name and what they were made from, through all parents."""
    with ThreadPoolExecutor(READERS) as pool:
        while paths := [path for (path,) in tables.execute(UNREAD, (READERS,))]:
            for manifest in pool.map(partial(read_manifest, lake), paths):
                _keep(tables, (p.path for p in manifest.parents))
                _keep(tables, (_unit(e.path)[1] for e in manifest.entries))
                if manifest.kind == "checkpoint":
                    tables.execute("INSERT OR IGNORE INTO models VALUES (?)", (manifest.digest,))
            tables.executemany("UPDATE units SET read = 1 WHERE name = ?", ((p,) for p in paths))


def _keep(tables: sqlite3.Connection, names: Iterable[str]) -> None:
    tables.executemany("UPDATE units SET kept = 1 WHERE name = ?", ((name,) for name in names))


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


def _listed(lake: Lake) -> Iterator[tuple[str, str, int, float, bool]]:
    """Of every object that belongs to a unit: the unit's name and kind, bytes, time, and whether it is its manifest."""
    for stored in lake.walk(""):
        kind, name = _unit(stored.name)
        if name:
            yield name, kind, stored.bytes, stored.modified, stored.name == f"{name}/{MANIFEST}"


def _unit(name: str) -> tuple[str, str]:
    """Kind and name of what an object belongs to; empty for what is never garbage."""
    for kind, pattern in UNITS:
        if found := pattern.match(name):
            return kind, found.group()
    return "", ""


def _check_targets(lake: Lake, tables: sqlite3.Connection) -> None:
    """What refs point to has to be there, or nobody knows what it was made from."""
    if tables.execute(NO_REF).fetchone():
        raise LakeError(f"{lake.url}: datasets and no ref, so what is needed is unknown", "restore refs/ from a copy")
    for ref, path in tables.execute(LOST):
        remedy = "restore it from a copy, or run the recipe again; nothing was deleted"
        raise LakeError(f"{ref}: no manifest in {lake.uri(path)}, so what it needs is unknown", remedy)


def _leased(lease: str) -> str:
    """What a lease is on: a node's directory, or recorded answers."""
    name = lease.removeprefix("leases/").removesuffix(".json")
    return name if name.startswith("calls/") else f"data/{name}"


def _wanted(lake: Lake, tables: sqlite3.Connection) -> list[str]:
    """Recorded answers whose checkpoint is reached or unknown, or whose model is served elsewhere."""
    found = []
    for (name,) in tables.execute("SELECT name FROM units WHERE kind = 'answers' AND NOT kept").fetchall():
        first = next((o.name for o in lake.walk(name) if o.name.endswith(".parquet")), None)
        if first is None:
            continue
        try:
            row = next(lake.batches(first, ["model", "model_digest"])).slice(0, 1).to_pylist()[0]
        except (LakeError, StopIteration):  # nobody knows whose they are
            found.append(name)
            continue
        served = {Served(row["model"], chat=chat).digest for chat in (True, False)}
        reached = tables.execute("SELECT 1 FROM models WHERE digest = ?", (row["model_digest"],)).fetchone()
        if reached or row["model_digest"] in served:
            found.append(name)
    return found


def _size(folder: Path) -> tuple[int, float]:
    stats = [p.stat() for p in (folder, *folder.rglob("*"))]
    return sum(s.st_size for s in stats), max(s.st_mtime for s in stats)


def _remove_empty(folder: Path) -> None:
    """A folder and those in it, unless somebody has put something there meanwhile."""
    folders = [folder, *(p for p in folder.rglob("*") if p.is_dir())]
    for path in sorted(folders, reverse=True):
        with suppress(OSError):
            path.rmdir()
