"""What a server can do to a client: refuse, throttle, stop half-way, talk nonsense: retried, or one clear error."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from r1data.endpoint import Endpoint
from r1data.errors import EndpointError, ModelError, Terminal
from r1data.generate.client import CompletionRequest, Decoding, completions
from r1data.generate.fleet import architecture_of

GOOD = json.dumps(
    {"choices": [{"index": 0, "text": "ok", "token_ids": [1], "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
).encode()
DECODING = Decoding(1.0, 1.0, 8)
ASKED = [CompletionRequest("p", 1, 0)]
Fault = tuple[int, bytes, dict[str, str]]


@pytest.fixture
def scripted() -> Iterator[Callable[[list[Fault]], Endpoint]]:
    """A real HTTP server that answers as scripted, then well."""
    servers: list[ThreadingHTTPServer] = []

    def start(script: list[Fault]) -> Endpoint:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                status, body, headers = script.pop(0) if script else (200, GOOD, {})
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = "Content-Length" in headers

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return Endpoint(f"http://127.0.0.1:{server.server_port}", "m")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "fault",
    [
        (500, b"oops", {}),
        (429, b"slow down", {"Retry-After": "0"}),
        (200, b"<html>", {}),
        (200, b"[1]", {}),
        (200, b'{"choices": 7}', {}),
        (200, GOOD.replace(b'"stop"', b'"abort"'), {}),
        (200, GOOD[:20], {"Content-Length": "500"}),
    ],
    ids=["500", "429 with Retry-After", "garbage", "no object", "no choices", "broken off", "half a body"],
)
def test_what_may_pass_is_tried_again(scripted: Callable[[list[Fault]], Endpoint], fault: Fault) -> None:
    assert completions(scripted([fault]), ASKED, DECODING)[0][0].text == "ok"


def test_wrong_request_is_final_and_says_why(scripted: Callable[[list[Fault]], Endpoint]) -> None:
    with pytest.raises(Terminal, match="the model `m` does not exist"):
        completions(scripted([(404, b"the model `m` does not exist", {})]), ASKED, DECODING)


def test_server_that_stays_broken_is_one_error(scripted: Callable[[list[Fault]], Endpoint]) -> None:
    broken: list[Fault] = [(503, b"busy", {"Retry-After": "0"})] * 6
    with pytest.raises(EndpointError, match=r"gave up after 6 attempts.*503"):
        completions(scripted(broken), ASKED, DECODING)


def test_folder_that_is_no_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    with pytest.raises(ModelError, match=r"no config\.json, tokenizer\.json, \*\.safetensors"):
        architecture_of(folder)
