"""A real S3 server: Polars reads with the rights that the lake's client has; uploads that never ended are found."""

from pathlib import Path

import polars as pl
import pytest

import r1data
from r1data import storage
from r1data.digest import row_id
from r1data.errors import CorruptShard, StoreUnavailable
from r1data.garbage import garbage
from r1data.inspect.read import lazy, reading
from r1data.steps.files import records_of
from r1data.storage import Lake
from r1data.uploads import abort, unfinished_uploads
from tests.r1data.inspect.large import REF, large
from tests.s3 import Server, free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def server(s3: Server) -> dict[str, str]:
    return s3.environment


@pytest.fixture
def lake(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Lake:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    lake = Lake.open("s3://runs/some/lake", skip_instance_cache=True)
    lake.fs.makedirs("runs", exist_ok=True)
    large(lake, shards=2, rows=50)
    return lake


def test_scan_with_the_environment(lake: Lake) -> None:
    found = r1data.scan(REF, lake).filter(candidate_id=row_id("candidate", 7)).collect()
    assert found["completion_tokens"].to_list() == [7]


def test_scan_with_keys_that_were_given(lake: Lake, server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in server:
        monkeypatch.delenv(name)
    given = {"key": "testuser", "secret": "testsecret", "endpoint_url": server["AWS_ENDPOINT_URL"]}
    other = Lake.open(lake.url, skip_instance_cache=True, **given)
    assert r1data.scan(REF, other).collect().height == 100


def test_scan_with_a_profile(
    lake: Lake, server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in server:
        monkeypatch.delenv(name)
    lines = [f"{name.lower()}={value}" for name, value in server.items() if "KEY" in name]
    lines += ["region=us-east-1", f"endpoint_url={server['AWS_ENDPOINT_URL']}"]
    (tmp_path / "config").write_text("\n".join(["[profile mine]", *lines]))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    other = Lake.open(lake.url, skip_instance_cache=True, profile="mine")
    assert r1data.sample(REF, n=3, lake=other).height == 3


def test_a_store_that_is_away_is_no_corrupt_shard(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    away = Lake.open(lake.url, skip_instance_cache=True)
    with pytest.raises(StoreUnavailable, match=r"gone\.parquet"), reading(away, "gone.parquet"):
        lazy(away, ["gone.parquet"]).collect()
    lake.write("torn.parquet", b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(CorruptShard, match=r"torn\.parquet"), reading(lake, "torn.parquet"):
        lazy(lake, ["torn.parquet"]).collect()
    lake.delete("torn.parquet")


def test_uploads_that_never_ended_are_found_in_this_lake_alone(lake: Lake) -> None:
    for key in ("some/lake/data/x", "some/other/y"):
        lake.fs.call_s3("create_multipart_upload", Bucket="runs", Key=key)
    (found,) = unfinished_uploads(lake)
    assert found.name == "data/x"
    abort(lake, found)
    assert unfinished_uploads(lake) == []


def test_garbage_is_found_on_s3(lake: Lake) -> None:
    name = f"data/x/{'0' * 32}/part.parquet"
    lake.write(name, b"x")
    with garbage(lake, -60) as found:
        assert [(u.name, u.objects, u.bytes) for u in found] == [(name.rpartition("/")[0], 1, 1)]


def test_a_listing_of_many_pages_is_whole(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PAGE", 2)
    names = {f"shards/{i:04d}.json" for i in range(5)}
    for name in names:
        lake.write(name, b"{}")
    assert {o.name for o in lake.walk("shards")} == names
    assert {o.name: o.bytes for o in lake.walk("")} == {
        n: lake.fs.size(lake.path(n))
        for n in [*lake.names("data"), *lake.names("refs"), *lake.names("lineage"), *names]
    }


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_a_source_of_a_recipe_may_lie_there(lake: Lake, name: str) -> None:
    frame = pl.DataFrame({"prompt": ["Write a poem.", "Translate."], "response": ["Roses", "Ja"]})
    with lake.fs.open(f"runs/{name}", "wb") as f:
        frame.write_parquet(f) if name.endswith("parquet") else frame.write_ndjson(f)
    assert records_of("imports", f"s3://runs/{name}") == frame.to_dicts()
    assert records_of("imports", f"s3://runs/{name}", limit=1) == frame.head(1).to_dicts()
