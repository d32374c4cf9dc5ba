"""Uploads to S3 in several parts that never ended: they cost money, and no listing of objects shows them."""

from dataclasses import dataclass

from r1data.s3_options import is_s3
from r1data.storage import Lake, storage_errors


@dataclass(frozen=True)
class Upload:
    """One of them: the object that it was to be, when it began (Unix time), the store's id."""

    name: str
    started: float
    id: str


def unfinished_uploads(lake: Lake) -> list[Upload]:
    """Those of a lake on S3, a thousand at most; none elsewhere."""
    if not is_s3(lake):
        return []
    bucket, _, _ = lake.fs.split_path(lake.root)
    with storage_errors(lake, ""):
        told = lake.fs.list_multipart_uploads(bucket)
    root = f"{lake.root}/"
    found = [(f"{bucket}/{u['Key']}", u) for u in told]
    return [
        Upload(name.removeprefix(root), u["Initiated"].timestamp(), u["UploadId"])
        for name, u in found
        if name.startswith(root)
    ]


def abort(lake: Lake, upload: Upload) -> None:
    """Give one up; the store forgets its parts."""
    bucket, key, _ = lake.fs.split_path(lake.path(upload.name))
    with storage_errors(lake, upload.name):
        lake.fs.abort_mpu(bucket, key, upload.id)
