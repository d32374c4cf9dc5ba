"""Endpoint, profile, role and encryption, said as users of fsspec and of the AWS tools say them."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from r1data.errors import StorageError
from tests.running import environment as own
from tests.s3 import KEY, SECRET, Fault, Proxy

WRITES = "import sys; from r1data.storage import Lake; Lake.open(sys.argv[1]).write('a', b'1')"
CREDENTIALS = """<{0}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{0}Result>
<Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>token-of-the-role</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</{0}Result></{0}Response>"""
ROLE = "arn:aws:iam::123456789012:role/nightly"


def writing(lake: str, folder: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """A new process writes `a` to a lake; fsspec reads its variables when it is imported."""
    told = {**own(folder), "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true", **env}
    command = [sys.executable, "-c", WRITES, lake]
    return subprocess.run(command, env=told, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "how",
    ["fsspec json", "profile", *(pytest.param(h, marks=pytest.mark.slow) for h in ("fsspec", "profile by fsspec"))],
)
def test_endpoint_and_credentials(proxy: Proxy, tmp_path: Path, how: str) -> None:
    lake, config = proxy.lake("settings"), tmp_path / "config"
    keys = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\nendpoint_url = {proxy.url}\n"
    config.write_text(f"[profile nightly]\n{keys}region = us-east-1\n")
    env = {
        "fsspec": {"FSSPEC_S3_KEY": KEY, "FSSPEC_S3_SECRET": SECRET, "FSSPEC_S3_ENDPOINT_URL": proxy.url},
        "fsspec json": {"FSSPEC_S3": json.dumps({"key": KEY, "secret": SECRET, "endpoint_url": proxy.url})},
        "profile": {"AWS_PROFILE": "nightly", "AWS_CONFIG_FILE": str(config)},
        "profile by fsspec": {"FSSPEC_S3_PROFILE": "nightly", "AWS_CONFIG_FILE": str(config)},
    }[how]
    found = writing(lake.url, tmp_path, env)
    assert found.returncode == 0, found.stderr
    assert lake.read("a") == b"1"


@pytest.fixture
def sts() -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """What hands out a role's credentials: its URL, and what it was asked."""
    asked: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """AssumeRole, with a token or with keys: those that signed the request are kept as `signed`."""
            asked.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            asked[-1]["signed"] = [self.headers.get("Authorization", "")]
            answer = CREDENTIALS.format(asked[-1]["Action"][0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{listener.server_address[1]}", asked
        listener.shutdown()
        thread.join()


def test_a_role_by_web_identity(proxy: Proxy, sts: tuple[str, list[dict[str, list[str]]]], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("who-this-pod-is")
    proxy.faults = [Fault("ok", ("PUT",))]  # this server knows no roles: what is sent to it counts
    env = {
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ENDPOINT_URL_STS": sts[0],
        "AWS_ENDPOINT_URL_S3": proxy.url,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    found = writing("s3://roles/lake", tmp_path, env)
    assert found.returncode == 0, found.stderr
    assert [(q["RoleArn"], q["WebIdentityToken"]) for q in sts[1]] == [([ROLE], ["who-this-pod-is"])]
    assert proxy.seen[-1].headers["x-amz-security-token"] == "token-of-the-role"
    assert "Credential=ASIAROLE/" in proxy.seen[-1].headers["authorization"]


def test_a_role_by_a_profile(proxy: Proxy, sts: tuple[str, list[dict[str, list[str]]]], tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        f"[profile person]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
        f"[profile nightly]\nrole_arn = {ROLE}\nsource_profile = person\nexternal_id = lake\nregion = us-east-1\n"
    )
    proxy.faults = [Fault("ok", ("PUT",))]  # as above
    env = {
        "AWS_PROFILE": "nightly",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL_STS": sts[0],
        "AWS_ENDPOINT_URL_S3": proxy.url,
    }
    found = writing("s3://roles/lake", tmp_path, env)
    assert found.returncode == 0, found.stderr
    (asked,) = sts[1]
    assert (asked["Action"], asked["RoleArn"], asked["ExternalId"]) == (["AssumeRole"], [ROLE], ["lake"])
    assert f"Credential={KEY}/" in asked["signed"][0], "the person's own keys ask for the role"
    assert proxy.seen[-1].headers["x-amz-security-token"] == "token-of-the-role"
    assert "Credential=ASIAROLE/" in proxy.seen[-1].headers["authorization"]


def test_encryption_is_asked_for_with_every_write(proxy: Proxy, tmp_path: Path) -> None:
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}
    env = {
        "FSSPEC_S3": json.dumps({"s3_additional_kwargs": kms, "key": KEY, "secret": SECRET, "endpoint_url": proxy.url})
    }
    proxy.faults = [Fault("ok", ("PUT",))]  # this server has no keys: it would refuse
    found = writing("s3://sealed/lake", tmp_path, env)
    assert found.returncode == 0, found.stderr
    lake = proxy.lake("sealed", s3_additional_kwargs=kms)
    for data in (bytes(100 << 20), b"1"):
        with pytest.raises(StorageError, match="not implemented"):
            lake.write("a", data)
    made = {r.kind: r.headers for r in proxy.seen if r.kind in ("PUT", "CREATE") and r.name.startswith("sealed/lake/")}
    assert made.keys() == {"PUT", "CREATE"}
    for headers in made.values():
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
