"""`Lake`: one root URL (a directory, `file://` or `s3://`) through fsspec. Every path is relative to the root.

Invariant: a reader sees a whole object or none. Local files are written beside,
synced and renamed; S3 objects are one PUT, or one multipart upload that exists when it is completed.
"""

import hashlib
import io
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from r1data.digest import digest_bytes
from r1data.errors import CorruptShard, NoSuchObject, StorageError
from r1data.store_errors import in_our_words

PIECE = 8 << 20
BATCH_ROWS = 1_024
GROUP_BYTES = 4 << 20  # of values: a reader of one row takes one group of each column, 1 to 2 MB of 4 kB texts
GROUP_ROWS = (1_024, 65_536)
PAGE = 1_000  # names a request, the most that S3 gives
ASKED_ONE_BY_ONE = 16  # S3 takes as much for a listing as for twelve looks
S3_TRIES = 2  # s3fs' own, around botocore's five; with its default a read of a server that hangs takes half an hour
ZSTD_LEVEL = 1  # intermediate tables: 139 MB/s a core against 57 at level 3, for a fifth more bytes


@dataclass(frozen=True, order=True)
class Stored:
    """An object: its name, bytes, and when it was written (Unix time)."""

    name: str
    bytes: int
    modified: float


@dataclass(frozen=True)
class Lake:
    """A store of immutable objects under one root."""

    url: str
    fs: fsspec.AbstractFileSystem
    root: str

    @classmethod
    def open(cls, url: str, **options: Any) -> "Lake":
        """The lake at a URL; `options` go to the file system (S3 endpoint, profile, keys), as fsspec users expect.

        Listings are never cached: other processes write to the lake too. docs/s3.md has the settings.
        """
        remedy = "use a directory, file:///path or s3://bucket/prefix"
        try:
            fs, root = fsspec.core.url_to_fs(str(url), **{"use_listings_cache": False, **options})
        except (ValueError, ImportError) as e:
            raise StorageError(f"lake {url}: {e}", remedy) from e
        if not root.strip("/"):
            raise StorageError(f"lake {url}: names no bucket or directory", remedy)
        if "s3" in fs.protocol:
            fs.retries = S3_TRIES
        return cls(url=str(url), fs=fs, root=root.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether objects are files of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, name: str) -> str:
        """The file system's own path of an object."""
        return f"{self.root}/{name}"

    def uri(self, name: str = "") -> str:
        """The URL of an object, for Polars, DuckDB and people."""
        return str(self.fs.unstrip_protocol(self.path(name).rstrip("/")))

    def exists(self, name: str) -> bool:
        """Whether an object of that name exists."""
        with storage_errors(self, name):
            return bool(self.fs.exists(self.path(name)))

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those that are no objects. Of many in one folder a listing is asked: a thousand names a request."""
        found: list[str] = []
        folders: dict[str, list[str]] = {}
        for name in names:
            folders.setdefault(name.rpartition("/")[0], []).append(name)
        for folder, wanted in folders.items():
            listed = set(self.names(folder)) if len(wanted) > ASKED_ONE_BY_ONE else set()
            found += [n for n in wanted if n not in listed and not self.exists(n)]
        return found

    def read(self, name: str) -> bytes:
        """An object's bytes; `NoSuchObject` where there is none. One request on S3, tried again if it breaks off."""
        one = {"max_concurrency": 1} if "s3" in self.fs.protocol else {}  # s3fs would ask for the size first
        with storage_errors(self, name):
            return bytes(self.fs.cat_file(self.path(name), **one))

    def get(self, name: str) -> bytes | None:
        """An object's bytes, or None: cheaper than to ask first whether it exists."""
        try:
            return self.read(name)
        except NoSuchObject:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write an object whole: atomic on local disks (temporary file, fsync, rename) and on S3 (one PUT)."""
        with storage_errors(self, name):
            if self.is_local:
                _write_local(Path(self.path(name)), [data])
            else:
                self.fs.pipe_file(self.path(name), data)

    def put(self, source: Path, name: str) -> tuple[int, str]:
        """Store a local file piece by piece, whatever its size, as atomically as `write`; (bytes, SHA-256)."""
        with source.open("rb") as f, storage_errors(self, name):
            if self.is_local:
                return _write_local(Path(self.path(name)), _pieces(f))
            found = _digest(_pieces(f))
            self.fs.put_file(str(source), self.path(name))
            return found

    def sha256(self, name: str) -> str:
        """The SHA-256 of an object, read piece by piece."""
        with storage_errors(self, name), self.fs.open(self.path(name), "rb") as f:
            return _digest(_pieces(f))[1]

    def names(self, prefix: str) -> list[str]:
        """Names of all objects below a prefix, sorted; temporary files of unfinished writes left out."""
        with storage_errors(self, prefix):
            found = self.fs.find(self.path(prefix))
        names = (f.removeprefix(self.root).lstrip("/") for f in found)
        return sorted(n for n in names if not n.rsplit("/", 1)[-1].startswith("."))

    def objects(self, prefix: str) -> list["Stored"]:
        """Size and age of all objects below a prefix, sorted by name; temporary files among them."""
        return sorted(self.walk(prefix))

    def walk(self, prefix: str) -> Iterator["Stored"]:
        """What `objects` tells, in no order: of millions a page of a listing (S3) or one entry (disks) is in memory."""
        with storage_errors(self, prefix):
            if self.is_local:
                yield from _walk_local(self.path(prefix).rstrip("/"), f"{prefix}/" if prefix else "")
            elif "s3" in self.fs.protocol:
                yield from self._walk_s3(prefix)
            else:
                place = self.path(prefix) if prefix else self.root
                for name, about in (self.fs.find(place, detail=True) if self.fs.exists(place) else {}).items():
                    yield Stored(name.removeprefix(self.root).lstrip("/"), int(about["size"]), _modified(about))

    def _walk_s3(self, prefix: str) -> Iterator["Stored"]:
        bucket, root, _ = self.fs.split_path(self.root)
        root = f"{root}/" if root else ""
        asked = {"Bucket": bucket, "MaxKeys": PAGE, "Prefix": f"{root}{prefix}/" if prefix else root}
        while True:
            page = self.fs.call_s3("list_objects_v2", **asked)
            for o in page.get("Contents", ()):
                if not o["Key"].endswith("/"):  # a folder that somebody made in the store's own console
                    yield Stored(o["Key"].removeprefix(root), int(o["Size"]), _modified(o))
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is no error."""
        with suppress(NoSuchObject), storage_errors(self, name):
            self.fs.rm_file(self.path(name))

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the lake (server-side on S3)."""
        if self.is_local:
            self.write(target, self.read(source))
            return
        with storage_errors(self, source):
            self.fs.cp_file(self.path(source), self.path(target))

    def write_table(self, name: str, table: pa.Table) -> tuple[int, str]:
        """Write Parquet (zstd, statistics, row groups of about GROUP_BYTES); returns (bytes, SHA-256 of the file)."""
        sink = io.BytesIO()
        rows = GROUP_BYTES * table.num_rows // max(table.nbytes, 1)
        size = min(max(rows, GROUP_ROWS[0]), GROUP_ROWS[1])
        pq.write_table(table, sink, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=size)
        data = sink.getvalue()
        self.write(name, data)
        return len(data), digest_bytes(data)

    def read_table(self, name: str, sha256: str | None = None, columns: list[str] | None = None) -> pa.Table:
        """Read Parquet; with `sha256`, bytes that differ raise `CorruptShard` before anything is parsed."""
        data = self.read(name)
        if sha256 is not None and digest_bytes(data) != sha256:
            remedy = "restore the object from a copy, or delete its dataset's directory and run again"
            raise CorruptShard(f"{self.uri(name)}: bytes differ from the manifest's SHA-256", remedy)
        try:
            return pq.read_table(_arrow_owned(data), columns=columns)
        except pa.ArrowInvalid as e:
            raise CorruptShard(f"{self.uri(name)}: not Parquet: {e}", "delete the object and run again") from e

    def columns(self, name: str) -> list[str]:
        """The columns of Parquet; only its footer is read."""
        with storage_errors(self, name), self.fs.open(self.path(name), "rb") as f:
            try:
                return list(pq.read_schema(f).names)
            except pa.ArrowInvalid as e:
                raise CorruptShard(f"{self.uri(name)}: not Parquet: {e}", "delete the object and run again") from e

    def batches(self, name: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of Parquet, BATCH_ROWS rows of them in memory at a time; nothing else of the object is read."""
        with storage_errors(self, name), self.fs.open(self.path(name), "rb") as f:
            try:
                # threads: see `_arrow_owned`
                yield from pq.ParquetFile(f, pre_buffer=False).iter_batches(
                    BATCH_ROWS, columns=columns, use_threads=False
                )
            except pa.ArrowInvalid as e:
                raise CorruptShard(f"{self.uri(name)}: not Parquet: {e}", "delete the object and run again") from e

    def local_copy(self, names: list[str], folder: Path) -> Path:
        """The objects as files of one local folder: the lake's own where it is local, else downloaded once."""
        parents = {str(Path(n).parent) for n in names}
        if self.is_local and len(parents) == 1:
            return Path(self.path(parents.pop()))
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            target = folder / Path(name).name
            if not target.exists():
                self.download(name, target)
        return folder

    def download(self, name: str, target: Path) -> None:
        """An object as a local file, whole or not at all, whatever its size."""
        with storage_errors(self, name), self.fs.open(self.path(name), "rb") as f:
            _write_local(target, _pieces(f))


def _arrow_owned(data: bytes) -> pa.BufferReader:
    """A copy that Arrow's threads let go of without Python; else one of them may abort the process as it ends.

    https://github.com/apache/arrow/issues/34314: after all is done, with "terminate called" and status 134.
    """
    copy = pa.allocate_buffer(len(data))
    memoryview(copy).cast("B")[:] = data
    return pa.BufferReader(copy)


def _walk_local(folder: str, prefix: str) -> Iterator[Stored]:
    """Files below a folder, links followed; what goes away meanwhile is left out."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk_local(entry.path, f"{prefix}{entry.name}/")
                continue
            with suppress(FileNotFoundError):
                stat = entry.stat()
                yield Stored(f"{prefix}{entry.name}", stat.st_size, stat.st_mtime)


def _modified(about: dict[str, Any]) -> float:
    """Unix time, from what a local, S3 or memory file system says."""
    told = next(about[name] for name in ("mtime", "LastModified", "created") if name in about)
    return told.timestamp() if isinstance(told, datetime) else float(told)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _digest(pieces: Iterable[bytes]) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
        size += len(piece)
    return size, sha256.hexdigest()


def _write_local(path: Path, pieces: Iterable[bytes]) -> tuple[int, str]:
    """Write beside, sync, rename; (bytes, SHA-256)."""
    size, sha256 = 0, hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as f:
            for piece in pieces:
                f.write(piece)
                sha256.update(piece)
                size += len(piece)
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return size, sha256.hexdigest()


@contextmanager
def storage_errors(lake: Lake, name: str) -> Iterator[None]:
    """What the operating system or the S3 client says, as one clear error with the object's name."""
    try:
        yield
    except Exception as e:
        ours = in_our_words(e, f"{lake.url.rstrip('/')}/{name}")
        if ours is None:
            raise
        raise ours from e
