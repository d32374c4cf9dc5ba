"""The lake on a real S3 server: large objects, long listings, faults on the way, refusals, a server killed."""

import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from r1data.digest import digest_bytes
from r1data.errors import NoSuchObject, R1Error, StorageError, StoreUnavailable
from r1data.inspect.read import scan
from r1data.inspect.trace import trace, why
from r1data.manifest import corrupt_files
from r1data.refs import list_refs, read_ref, resolve
from r1data.storage import Lake
from r1data.uploads import unfinished_uploads
from tests.r1data import sharded
from tests.r1data.inspect.tiny_lake import make_lake, run_in
from tests.running import digests, ended
from tests.s3 import Fault, Proxy, Request, Server, environment, proxied

ALWAYS = 10_000
IMPATIENT = {"config_kwargs": {"retries": {"max_attempts": 1}, "read_timeout": 1, "connect_timeout": 1}}
BEYOND_ONE_PUT = 101 << 20  # s3fs sends 100 MiB and more in parts
READS = [500, "reset", "torn", *(pytest.param(w, marks=pytest.mark.slow) for w in (503, "hang"))]
WRITES = [500, 503, "reset", "torn_upload", "lost", "hang"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The tiny recipe on a disk."""
    return make_lake(tmp_path_factory.mktemp("tiny") / "lake")


@pytest.mark.slow
def test_a_shard_in_several_parts(proxy: Proxy, tmp_path: Path) -> None:
    lake = proxy.lake("large")
    table = pa.table({"a": [random.Random(0).randbytes(BEYOND_ONE_PUT)]})
    proxy.faults = [Fault("reset", ("PART",)), Fault(500, ("PART",)), Fault("torn", ("GET",))]
    with proxy.counted() as made:
        size, sha256 = lake.write_table("data/shard.parquet", table)
    assert size > BEYOND_ONE_PUT
    assert (made["CREATE"], made["COMPLETE"], made["PUT"]) == (1, 1, 0)
    assert lake.read_table("data/shard.parquet", sha256).equals(table)
    copied = lake.local_copy(["data/shard.parquet"], tmp_path / "copy") / "shard.parquet"
    assert lake.put(copied, "data/again.parquet") == (size, sha256)
    assert lake.sha256("data/again.parquet") == sha256


@pytest.mark.parametrize("by", ["write", pytest.param("put", marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", [500, pytest.param("torn_upload", marks=pytest.mark.slow)])
def test_an_upload_that_fails_leaves_nothing(proxy: Proxy, tmp_path: Path, by: str, what: int | str) -> None:
    lake = proxy.lake(f"unfinished-{by}-{what}".replace("_", "-"), **IMPATIENT)
    source = tmp_path / "big"
    source.write_bytes(bytes(BEYOND_ONE_PUT))
    proxy.faults = [Fault(what, ("PART",), ALWAYS)]
    works: dict[str, Callable[..., object]] = {
        "put": partial(lake.put, source),
        "write": partial(lake.write, data=source.read_bytes()),
    }
    with proxy.counted() as made, pytest.raises(StoreUnavailable, match="data/big"):
        works[by](name="data/big")
    assert (made["CREATE"], made["ABORT"], made["COMPLETE"], made["PUT"]) == (1, 1, 0, 0)
    assert not lake.exists("data/big")
    assert lake.names("data") == []
    assert unfinished_uploads(lake) == []


@pytest.mark.slow
def test_a_completed_upload_whose_answer_is_lost_may_be_repeated(proxy: Proxy) -> None:
    lake, data = proxy.lake("lost", **IMPATIENT), bytes(BEYOND_ONE_PUT)
    proxy.faults = [Fault("lost", ("COMPLETE",))]
    with pytest.raises(StoreUnavailable, match="NoSuchUpload"):
        lake.write("data/big", data)
    lake.write("data/big", data)
    assert lake.sha256("data/big") == digest_bytes(data)


@pytest.mark.parametrize(
    ("objects", "page"), [(120, 50), pytest.param(2_100, 1_000, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_a_listing_of_several_pages(proxy: Proxy, objects: int, page: int) -> None:
    lake = proxy.lake(f"listed-{objects}", s3_additional_kwargs={"MaxKeys": page})  # this server's own pages are longer
    names = [f"pool/{i % 7}/part-{i:05d}.parquet" for i in range(objects)]
    lake.fs.pipe({lake.path(n): b"x" for n in names})
    lake.write("pool-of-another/part.parquet", b"x")
    proxy.faults = [Fault(503, ("LIST",)), Fault("torn", ("LIST",))]
    with proxy.counted() as made:
        assert lake.names("pool") == sorted(names)
    assert made == {"LIST": 5}, "three pages, and each fault once more"
    lake.delete(names[0])
    lake.write("pool/new.parquet", b"x")
    assert lake.names("pool") == sorted([*names[1:], "pool/new.parquet"]), "no listing is remembered"


@pytest.mark.parametrize("what", READS)
def test_a_read_is_tried_again(proxy: Proxy, what: int | str) -> None:
    lake = proxy.lake("reads", **IMPATIENT)
    _, sha256 = lake.write_table("t.parquet", pa.table({"a": ["x" * 1_000, "y"]}))
    proxy.faults = [Fault(what, ("GET",)), Fault("reset", ("HEAD",))]
    assert lake.read_table("t.parquet", sha256)["a"].to_pylist() == ["x" * 1_000, "y"]
    proxy.faults = [Fault(what, ("GET",)), Fault(500, ("HEAD",))]
    assert lake.sha256("t.parquet") == sha256
    proxy.faults = [Fault(what, ("GET",))]
    assert [b.num_rows for b in lake.batches("t.parquet", ["a"])] == [2]
    assert scan_of(lake, "t.parquet") == 2


def scan_of(lake: Lake, name: str) -> int:
    """How many rows the readers see."""
    from r1data.inspect.read import lazy

    return int(lazy(lake, [name]).collect().height)


@pytest.mark.parametrize("what", WRITES)
def test_a_write_is_tried_again(proxy: Proxy, what: int | str) -> None:
    lake = proxy.lake("writes", **IMPATIENT)
    proxy.faults = [Fault(what, ("PUT",))]
    lake.write("a", b"x" * 100_000)
    assert lake.read("a") == b"x" * 100_000


@pytest.mark.parametrize("what", [500, *(pytest.param(w, marks=pytest.mark.slow) for w in (502, 503, "reset", "hang"))])
def test_a_store_that_stays_away_is_said_to_be(proxy: Proxy, what: int | str) -> None:
    lake = proxy.lake("away", **IMPATIENT)
    lake.write("there", b"1")
    proxy.faults = [Fault(what, ("GET", "PUT", "HEAD"), ALWAYS)]
    works = (lambda: lake.exists("there"), lambda: lake.write("a", b"1"), lambda: lake.read("there"))
    for work in works[: 1 if what == "hang" else 3]:
        with pytest.raises(StoreUnavailable, match=r"s3://away/lake/(a|there): .*\n.*run again when the store answers"):
            work()
    proxy.faults = []
    assert lake.names("") == ["there"]


@pytest.mark.slow
def test_the_tiny_recipe(proxy: Proxy, local: Lake, tmp_path: Path) -> None:
    lake = run_in(proxy.lake("tiny"))
    assert digests(lake) == digests(local)
    assert scan("tiny/cold_start", lake).collect().equals(scan("tiny/cold_start", local).collect())
    assert trace(lake, "example-1").trained == trace(local, "example-1").trained
    assert [f.row for f in why(lake, "candidate-2")] == [f.row for f in why(local, "candidate-2")]
    run_in(lake, mark="!")
    now, before = (
        target.digest for target in (read_ref(lake, "tiny/problems").current, resolve(local, "tiny/problems"))
    )
    assert now != before
    env = environment(proxy.url)
    assert ended(["rollback", "tiny/problems"], lake.url, tmp_path, env) == (
        0,
        f"tiny/problems: {now[:12]} -> {before[:12]}\n",
    )
    status, out = ended(["verify"], lake.url, tmp_path, env)
    assert (status, out.rstrip()[-8:]) == (0, "0 faults"), out
    shard = resolve(lake, "tiny/problems").shards[0].path
    lake.write(shard, lake.read(shard)[:-1] + b"?")
    status, out = ended(["verify"], lake.url, tmp_path, env)
    assert (status, out.count(shard)) == (1, 1), out


REFUSED = {
    "wrong secret": ({"AWS_SECRET_ACCESS_KEY": "no"}, "s3://tiny/lake", ["access denied", "AWS_SECRET_ACCESS_KEY"]),
    "unknown key": ({"AWS_ACCESS_KEY_ID": "nobody"}, "s3://tiny/lake", ["access denied", "AWS_ACCESS_KEY_ID"]),
    "no credentials": ({"AWS_ACCESS_KEY_ID": ""}, "s3://tiny/lake", ["credentials"]),
    "unknown profile": ({"AWS_PROFILE": "nosuch"}, "s3://tiny/lake", ["nosuch", "credentials"]),
    "no such bucket": ({}, "s3://nosuch/lake", ["s3://nosuch/lake/refs: no such bucket", "create the bucket"]),
    "no bucket": ({}, "s3://", ["names no bucket", "s3://bucket/prefix"]),
    "endpoint without scheme": ({"AWS_ENDPOINT_URL": "localhost:1"}, "s3://tiny/lake", ["http://host:port"]),
    "nobody there": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "s3://tiny/lake", ["127.0.0.1:1", "run again"]),
}
SLOW = ("unknown key", "no credentials", "unknown profile", "endpoint without scheme")  # like the others, in 3 s each


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow if c in SLOW else ()) for c in REFUSED])
def test_what_is_wrong_where_and_what_to_do(proxy: Proxy, tmp_path: Path, case: str) -> None:
    changed, url, told = REFUSED[case]
    env = {**environment(proxy.url), "AWS_MAX_ATTEMPTS": "1", "HOME": str(tmp_path), **changed}
    status, out = ended(["status"], url, tmp_path / "scratch", env)
    assert status == 1
    assert "Traceback" not in out
    assert out.startswith("error: ")
    assert "\n  remedy: " in out
    assert [t for t in told if t not in out] == [], out


def test_rights_that_are_missing_are_no_missing_objects(proxy: Proxy) -> None:
    lake = proxy.lake("rights")
    sharded.run_in(lake)
    before = digests(lake)
    proxy.faults = [Fault(403, ("PUT",), ALWAYS)]
    with pytest.raises(StorageError, match="access denied: AccessDenied"):
        sharded.run_in(lake, mark="?")
    proxy.faults = [Fault(403, ("GET", "HEAD", "LIST"), ALWAYS)]
    for work in (lambda: resolve(lake, "sharded/marked"), lambda: lake.exists("x"), lambda: list_refs(lake)):
        with pytest.raises(StorageError, match="access denied"):
            work()
    proxy.faults = []
    assert digests(lake) == before
    with pytest.raises(NoSuchObject):
        lake.read("x")


@pytest.mark.parametrize(
    ("what", "at"),
    [
        (500, ".parquet"),
        ("torn_upload", "shards/"),
        (500, "_manifest.json"),
        (500, "lineage/"),
        ("torn_upload", "refs/"),
    ],
)
def test_a_run_whose_store_goes_away_is_completed_by_the_next(
    proxy: Proxy, tmp_path: Path, what: int | str, at: str
) -> None:
    lake, expected = proxy.lake(f"halfway-{what}-{at.strip('._/')}".replace("_", "-"), **IMPATIENT), tmp_path / "lake"
    sharded.run_in(lake)
    before = digests(lake)
    proxy.faults = [Fault(what, ("PUT",), ALWAYS, name=at)]
    with pytest.raises(StoreUnavailable, match="run again when the store answers"):
        sharded.run_in(lake, mark="?")
    proxy.faults = []
    assert digests(lake) == before, "readers see what was there"
    assert [f for ref in before for f in corrupt_files(lake, resolve(lake, ref))] == []
    sharded.run_in(lake, mark="?")
    sharded.run_in(Lake.open(str(expected)), mark="?")
    assert digests(lake) == digests(Lake.open(str(expected)))


class Reader(threading.Thread):
    """Looks at every ref again and again, as a training or a person would: all that it sees has to be whole."""

    def __init__(self, lake: Lake) -> None:
        super().__init__()
        self.lake, self.ended, self.looks, self.faults = lake, threading.Event(), 0, list[str]()

    def run(self) -> None:
        """Until told to end; a store that is away is no fault."""
        while not self.ended.wait(0.05):
            try:
                for ref in list_refs(self.lake):
                    self.faults += corrupt_files(self.lake, resolve(self.lake, ref))
                    self.looks += 1
            except StoreUnavailable:
                continue
            except R1Error as e:
                self.faults.append(str(e))


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server of a test's own, to be killed."""
    server = Server(tmp_path / "server")
    server.folder.mkdir()
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("at", ["data/cold_start/", "_manifest.json", "refs/tiny/dev1"])
@pytest.mark.parametrize("back", [True, False], ids=["soon back", "back for the next run"])
def test_a_server_killed_in_the_middle(mortal: Server, local: Lake, tmp_path: Path, at: str, back: bool) -> None:
    killed = threading.Event()

    def watch(request: Request) -> None:
        if request.kind == "PUT" and at in request.name and len(proxy.seen) > 100 and not killed.is_set():
            killed.set()
            mortal.kill()
            if back:
                mortal.start()

    with proxied(mortal) as proxy:
        lake = proxy.lake("lake") if back else proxy.lake("lake", **IMPATIENT)
        proxy.watch = watch
        reader = Reader(proxy.lake("lake", **IMPATIENT))
        reader.start()
        try:
            if back:
                run_in(lake)
            else:
                with pytest.raises(StoreUnavailable, match="run again when the store answers"):
                    run_in(lake)
                mortal.start()
                run_in(lake)
        finally:
            reader.ended.set()
            reader.join()
        assert killed.is_set()
        assert digests(lake) == digests(local)
        assert (reader.faults, reader.looks > 0) == ([], True)
        assert ended(["verify"], lake.url, tmp_path, environment(proxy.url))[0] == 0


@pytest.mark.slow
def test_a_server_restarted_between_the_parts_of_an_upload(mortal: Server, tmp_path: Path) -> None:
    source, killed = tmp_path / "big", threading.Event()
    source.write_bytes(random.Random(0).randbytes(BEYOND_ONE_PUT))

    def watch(request: Request) -> None:
        if request.kind == "PART" and not killed.is_set():
            killed.set()
            mortal.kill()
            mortal.start()

    with proxied(mortal) as proxy:
        lake = proxy.lake("lake")
        proxy.watch = watch
        size, sha256 = lake.put(source, "data/big")
        assert killed.is_set()
        assert (size, lake.sha256("data/big")) == (BEYOND_ONE_PUT, sha256)
        assert unfinished_uploads(lake) == []
