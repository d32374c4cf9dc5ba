"""The deterministic stand-in server for benchmarks, with a tokenizer of one character a token."""

import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from r1data.cluster_params import EngineParams
from r1data.endpoint import Endpoint
from r1data.generate.router import Backend
from r1data.generate.server import SERVED_NAME, Server, start_server
from r1data.manifest import Manifest

MODEL = Manifest(kind="checkpoint", name="bench/m", path="data/m/k", key="k", step="s", version="1", digest="bench")
SPECIAL = ["<pad>", "<eos>", "<think>", "</think>", "<answer>", "</answer>", "<unk>"]


def start(folder: Path, *arguments: str) -> Server:
    """The server, with its own command-line options."""
    folder.mkdir(parents=True, exist_ok=True)
    character_tokenizer().save(str(folder / "tokenizer.json"))
    return start_server(folder, "fake", sys.executable, folder / "log", EngineParams(arguments=arguments))


def character_tokenizer() -> Tokenizer:
    """ASCII, one character a token, R1's tags special tokens."""
    vocabulary = {t: i for i, t in enumerate([*SPECIAL, *(chr(i) for i in range(32, 127))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    return tokenizer


def backends(server: Server) -> list[Backend]:
    """What a router is given of it."""
    return [Backend(Endpoint(server.url, SERVED_NAME))]
