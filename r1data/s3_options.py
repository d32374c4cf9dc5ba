"""What Polars' own S3 client needs to read a lake: endpoint, region and credentials, as the lake's client found them.

s3fs knows profiles, environment, configuration files and roles; Polars is told what came of them, so that both read the
same store with the same rights.
"""

import time
from collections.abc import Callable
from typing import Any

from fsspec.asyn import sync

from r1data.storage import Lake

AWS = ".amazonaws.com"
TEMPORARY_S = 300


def is_s3(lake: Lake) -> bool:
    """Whether the lake's objects are in an S3 store."""
    protocol = lake.fs.protocol
    return "s3" in ((protocol,) if isinstance(protocol, str) else protocol)


def scan_options(lake: Lake) -> dict[str, Any]:
    """Keyword arguments of `pl.scan_parquet` for a lake on S3; none for other lakes."""
    if not is_s3(lake):
        return {}
    lake.fs.connect()
    meta = lake.fs.s3.meta
    options = {"aws_region": meta.region_name or "us-east-1"}
    if not meta.endpoint_url.endswith(AWS):
        options |= {"aws_endpoint_url": meta.endpoint_url, "aws_virtual_hosted_style_request": "false"}
        options |= {"aws_allow_http": "true"} if meta.endpoint_url.startswith("http://") else {}
    if lake.fs.anon:
        return {"storage_options": {**options, "aws_skip_signature": "true"}, "credential_provider": None}
    return {"storage_options": options, "credential_provider": _credentials(lake)}


def _credentials(lake: Lake) -> Callable[[], tuple[dict[str, str], int | None]]:
    """A function that Polars calls; temporary credentials are asked for again after some minutes."""

    def found() -> tuple[dict[str, str], int | None]:
        fs = lake.fs
        given = fs.client_kwargs.get("aws_access_key_id"), fs.client_kwargs.get("aws_secret_access_key")
        key, secret = (fs.key, fs.secret) if fs.key else given
        token = fs.token or fs.client_kwargs.get("aws_session_token")
        if not key:
            key, secret, token = sync(fs.loop, _resolved, fs.session)
        told = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        if not token:
            return told, None
        return {**told, "aws_session_token": token}, int(time.time()) + TEMPORARY_S

    return found


async def _resolved(session: Any) -> tuple[str, str, str | None]:
    """What the session finds in the environment, a profile or a role; botocore renews it in time."""
    found = await (await session.get_credentials()).get_frozen_credentials()
    return found.access_key, found.secret_key, found.token
