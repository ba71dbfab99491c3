"""Adapters of encoders: what fine-tuning added to the linear maps, a few MB, in the form of the package peft.

    FOLDER/adapter_config.json, adapter_model.safetensors:   W' = W + alpha / rank * B A

A (rank, in) and B (out, rank) belong to the map W (out, in) that their names spell. They are added here in a few lines:
to import peft takes longer than to answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.files import read_json, write_json
from qaemb.identity import json_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, eq=False)
class Adapter:
    """Low-rank additions: `maps` name of a linear map -> (A float32 (rank, in), B float32 (out, rank)), and alpha."""

    base: str
    rank: int
    alpha: float
    maps: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

    @cached_property
    def digest(self) -> str:
        """The hash of all that changes a vector: the scale, the names and the values."""
        values = {name: [array_id(a), array_id(b)] for name, (a, b) in sorted(self.maps.items())}
        return json_id({"scale": self.alpha / self.rank, "maps": values})


def write_adapter(adapter: Adapter, folder: Path) -> None:
    """Write config and weights so that peft reads them, too; no path of this machine is in them."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, (a, b) in adapter.maps.items():
        arrays[_PREFIX + name + _A] = np.ascontiguousarray(a, np.float32)
        arrays[_PREFIX + name + _B] = np.ascontiguousarray(b, np.float32)
    (folder / _WEIGHTS).write_bytes(save(arrays, metadata={"format": "pt"}))
    write_json(
        folder / _CONFIG,
        {
            "peft_type": "LORA",
            "task_type": "FEATURE_EXTRACTION",
            "base_model_name_or_path": adapter.base,
            "r": adapter.rank,
            "lora_alpha": adapter.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "target_modules": sorted(adapter.maps),
            "inference_mode": True,
        },
    )


def read_adapter(folder: Path) -> Adapter:
    """Return the adapter in a folder; BadInput names the file that is missing, damaged or not an adapter."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    config = read_json(folder / _CONFIG)
    path = folder / _WEIGHTS
    if not path.exists():
        raise BadInput(f"{path} does not exist; train the student again")
    try:
        arrays = load_file(path)
        names = [name[len(_PREFIX) : -len(_A)] for name in arrays if name.startswith(_PREFIX) and name.endswith(_A)]
        maps = {name: (arrays[_PREFIX + name + _A], arrays[_PREFIX + name + _B]) for name in names}
        return Adapter(config["base_model_name_or_path"], int(config["r"]), float(config["lora_alpha"]), maps)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{folder} holds no adapter that can be read ({error}); train the student again") from error


def merge_adapter(model: PreTrainedModel, adapter: Adapter) -> None:
    """Add an adapter to a model's maps in place; BadInput if it belongs to another model."""
    import torch

    modules = dict(model.named_modules())
    for name, (a, b) in adapter.maps.items():
        weight = getattr(modules.get(name), "weight", None)
        if weight is None or tuple(weight.shape) != (len(b), a.shape[1]):
            raise BadInput(
                f"the adapter belongs to `{adapter.base}`: this model has no map `{name}` of {len(b)} x {a.shape[1]}; "
                "give it the encoder that it was trained on"
            )
        with torch.no_grad():
            weight += torch.from_numpy(b @ a * np.float32(adapter.alpha / adapter.rank)).to(weight)


def array_id(array: NDArray[np.float32]) -> str:
    """Return the SHA-256 of an array's shape and float32 values."""
    values = np.ascontiguousarray(array, np.float32)
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()
