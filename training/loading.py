"""The model that a training starts from: whole, or under ZeRO-3 in shards, so that no GPU ever holds all of it."""

from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from transformers import AutoConfig, initialization

from r1data.training_params import OptimizerParams
from training.core import load_model


def load_trained(kind: Any, folder: Path, params: OptimizerParams, **options: Any) -> Any:
    """A model of a folder: whole on every rank, or under ZeRO-3 this rank's shards of it; collective.

    `ModelError` as of `load_model`. Under ZeRO-3 rank 0 alone reads the folder, with main memory for a whole model;
    every tensor goes from there to its shards.
    """
    if params.zero_stage < 3:
        return load_model(kind, folder, params.dtype, **options)
    whole = load_model(kind, folder, params.dtype, **options) if dist.get_rank() == 0 else None
    config = AutoConfig.from_pretrained(str(folder), **options)
    with initialization.no_init_weights(), deepspeed.zero.Init(config_dict_or_path=sharded_config(params)):
        model = kind.from_config(config, dtype=getattr(torch, params.dtype))
    model.tie_weights()  # left out with the initial weights
    for name, parameter in model.named_parameters():
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
            if whole is not None:
                parameter.copy_(whole.get_parameter(name))
    _take_buffers(model, whole)
    if whole is not None:  # what the export needs, by rank 0
        if hasattr(whole, "generation_config"):  # reward models have none
            model.generation_config = whole.generation_config
        model._weight_conversions = getattr(whole, "_weight_conversions", None)
    return model


def _take_buffers(model: Any, whole: Any) -> None:
    """Buffers are whole on every rank; zero.Init would have computed them in the model's dtype, rotary ones too."""
    found = [dict(whole.named_buffers()) if whole is not None else {}]
    dist.broadcast_object_list(found)
    device = next(model.parameters()).ds_tensor.device
    for name, buffer in model.named_buffers():
        buffer.data = found[0][name].to(device)


def sharded_config(params: OptimizerParams) -> dict[str, Any]:
    """DeepSpeed's, of a model that is sharded and not trained; what is not in use lies in shards, small tensors too."""
    return {
        "train_micro_batch_size_per_gpu": 1,
        "bf16": {"enabled": params.dtype == "bfloat16"},
        "zero_optimization": {"stage": 3, "overlap_comm": False, "stage3_param_persistence_threshold": 0},
        "steps_per_print": 10**9,
    }
