"""A reader of the lake during chaos: it looks at what is published all the time, and at everything after each kill.

What DESIGN promises: a manifest that can be seen has all its files with their digests, a ref points to such a manifest,
and a published one never changes. Reads go straight to the server; a server that is down is not asked.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from r1data.errors import NoSuchObject, R1Error, StorageError, StoreUnavailable
from r1data.manifest import MANIFEST, Manifest, corrupt_files, read_manifest
from r1data.refs import find_ref, list_refs
from r1data.storage import Lake

LOOK_S = 2.0
AWAY = (StoreUnavailable, StorageError)


@dataclass
class Reader:
    """Looks every two seconds until it is closed; what it finds wrong goes to `violated`, once each."""

    lake: Lake
    violated: Callable[[str], None]
    looks: int = 0
    whole: dict[str, Manifest] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    files: int = 0
    _closed: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Reader":
        """Start to look."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_S):
            try:
                with self._lock:
                    self.refs()
                    self.looks += 1
            except AWAY:
                continue

    def check(self) -> dict[str, int]:
        """Everything that can be seen; how many of each were looked at, since the last time. Raises one of `AWAY`."""
        with self._lock:
            refs = self.refs()
            seen = [n.removesuffix(f"/{MANIFEST}") for n in self.lake.names("data") if n.endswith(f"/{MANIFEST}")]
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(self._complete, seen))
            for path in set(self.whole) - set(seen):
                self._wrong(f"{path}: was published and is gone")
            found = {"refs": refs, "manifests": len(seen), "files": self.files, "looks": self.looks}
            self.looks = self.files = 0
            return found

    def refs(self) -> int:
        """Every ref points to a whole dataset or checkpoint, with the digest that it names; how many there are."""
        names = list_refs(self.lake)
        for name in names:
            ref = find_ref(self.lake, name)
            if ref is None:
                self._wrong(f"{name}: listed, and cannot be read")
                continue
            manifest = self._complete(ref.current.path)
            if manifest and manifest.digest != ref.current.digest:
                self._wrong(f"{name}: points to {ref.current.digest}, {ref.current.path} is {manifest.digest}")
        return len(names)

    def again(self) -> None:
        """Forget what was found whole: the next check compares every file anew."""
        self.whole.clear()

    def _complete(self, path: str) -> Manifest | None:
        """The manifest of a directory, its files compared once; None if that cannot be, which is told."""
        if path in self.whole:
            return self.whole[path]
        try:
            manifest = read_manifest(self.lake, path)
            faults = list(corrupt_files(self.lake, manifest))
            parents = [p.path for p in manifest.parents if not self._there(p.path)]
        except AWAY:
            raise
        except R1Error as e:
            self._wrong(f"{path}: {e.args[0]}")
            return None
        for name in faults:
            self._wrong(f"{path}: published, and {name} is missing or different")
        for parent in parents:
            self._wrong(f"{path}: published, and its parent {parent} is not")
        self.files += len(manifest.entries) + len(manifest.beside)
        self.whole[path] = manifest
        return manifest

    def _there(self, path: str) -> bool:
        if path in self.whole:
            return True
        try:
            return bool(self.lake.read(f"{path}/{MANIFEST}"))
        except NoSuchObject:
            return False

    def _wrong(self, what: str) -> None:
        if what not in self.told:
            self.told.add(what)
            self.violated(what)
