"""What the operating system, botocore, aiohttp and s3fs raise, as one error of ours: which object, what, what to do.

Invariant: whatever may pass by itself is `StoreUnavailable`; a missing bucket or a refusal is never "no such object".
"""

import errno

from r1data.errors import NoSuchObject, R1Error, StorageError, StoreUnavailable

CLIENTS = {"botocore", "aiobotocore", "aiohttp"}
# S3 asks for patience; or an upload was completed and its answer lost, so that asking again finds it gone
PASSING = {"SlowDown", "RequestTimeout", "OperationAborted", "NoSuchUpload", "429"}
NO_BUCKET = "create the bucket, or check the lake's URL and the endpoint (AWS_ENDPOINT_URL)"
NO_RIGHTS = (
    "check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role) and that they may "
    "list, read, write and delete there; of a directory its rights"
)
NO_SPACE = "free space or move the lake; nothing was published"
AWAY = (
    "run again when the store answers: what is finished is kept. If it never does, check its endpoint "
    "(AWS_ENDPOINT_URL); AWS_MAX_ATTEMPTS says how often a request is tried"
)
REFUSED = "check credentials, region (AWS_DEFAULT_REGION) and endpoint (AWS_ENDPOINT_URL) of the store"


def in_our_words(error: Exception, where: str) -> R1Error | None:
    """The error to raise instead of one met at an object; None for what is neither the store's nor its client's."""
    code, status = _answer(error)
    told = f"{where}: {type(error).__name__}: {error}"
    if code == "NoSuchBucket":
        return StorageError(f"{where}: no such bucket", NO_BUCKET)
    if code in PASSING or (status >= 500 and status != 501) or _broke_off(error):
        return StoreUnavailable(f"{told} ({code})" if code else told, AWAY)
    if isinstance(error, FileNotFoundError):
        return NoSuchObject(f"{where}: no such object", "check the lake's URL and the name")
    if isinstance(error, PermissionError):
        return StorageError(f"{where}: access denied: {error}", NO_RIGHTS)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return StorageError(f"{where}: no space left: {error}", NO_SPACE)
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in CLIENTS:
        return StorageError(told, REFUSED)
    if isinstance(error, ValueError) and str(error).startswith("Invalid endpoint"):  # botocore has no class for it
        return StorageError(told, "give the endpoint (AWS_ENDPOINT_URL) as http://host:port or https://host")
    return None


def _answer(error: Exception) -> tuple[str, int]:
    """Code and HTTP status that S3 answered with, or ("", 0)."""
    for e in (error, error.__cause__):
        response = getattr(e, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            return code, int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return "", 0


def _broke_off(error: Exception) -> bool:
    """Whether a connection was refused, broken or too slow; a certificate that is not trusted stays so."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    kind = type(error).__module__.partition(".")[0]
    if kind == "aiohttp":
        return True
    if kind != "botocore":
        return False
    from botocore import exceptions as b  # it raised this, so it is loaded

    passing = (b.HTTPClientError, b.EndpointConnectionError, b.ConnectTimeoutError, b.ResponseStreamingError)
    return isinstance(error, passing) and not isinstance(error, b.SSLError)
