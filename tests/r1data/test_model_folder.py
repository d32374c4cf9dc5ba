"""A model folder has a config, a tokenizer and weights, whole or in shards."""

import json
from pathlib import Path

import pytest

from r1data.errors import ModelError
from r1data.model_folder import checked_model, weight_files


def test_weights_may_be_in_shards(tmp_path: Path) -> None:
    names = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json"]
    for name in names:
        (tmp_path / name).touch()
    assert checked_model(tmp_path) == tmp_path
    assert [f.name for f in weight_files(tmp_path)] == names[1:3]
    assert weight_files(tmp_path / names[1]) == [tmp_path / names[1]]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(ModelError, match=r"no tokenizer\.json, \*\.safetensors\n  remedy: set \[base\] path"):
        checked_model(tmp_path, "set [base] path")


def test_a_shard_of_the_index_is_missed(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "model-00001-of-00002.safetensors"):
        (tmp_path / name).touch()
    index = tmp_path / "model.safetensors.index.json"
    files = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index.write_text(json.dumps({"weight_map": files}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"no model-00002-of-00002\.safetensors of model\.safetensors\.index\.json"):
        checked_model(tmp_path)
    index.write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="is no index of weights"):
        checked_model(tmp_path)
