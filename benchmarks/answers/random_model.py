"""A causal model of a given shape with random weights, made on the device where it is used."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.answers.scale import LLAMA_8B
from qaemb.files import write_json
from qaemb.models.causal import _float32_head
from qaemb.models.folder import INFO_FILE, ModelInfo

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 49152,
}
SHAPES: dict[str, dict[str, Any]] = {"llama8b": LLAMA_8B, "tiny": _TINY}
_CONTEXT = 8192
_TRIALS, _REPEATS = 5, 10


def make_folder(shape: str, tokenizer: Path, folder: Path) -> Path:
    """Write a model folder without weights: the shape's config, and the tokenizer of another model's folder."""
    from transformers import LlamaConfig

    folder.mkdir(parents=True)
    for path in tokenizer.iterdir():
        if path.name.startswith(("tokenizer", "special_tokens", "chat_template")):
            shutil.copy(path, folder)
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=_CONTEXT, architectures=["LlamaForCausalLM"])
    config.save_pretrained(folder)
    info = ModelInfo(
        name=shape, kind="causal", source="random weights", package=None, version=None, digest="none", n_parameters=0
    )
    write_json(folder / INFO_FILE, vars(info))
    return folder


def random_weights(folder: Path, device: str) -> PreTrainedModel:
    """Return the folder's model on a device, bfloat16 with a float32 last layer, as engines load it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.bfloat16)
        model.set_output_embeddings(_float32_head(model.get_output_embeddings()))
    return model.eval()


def matmul_flops(device: str, width: int) -> float:
    """Return operations per second of a bfloat16 product of two square matrices: the best of a few trials."""
    import torch

    a, b = (torch.randn(width, width, device=device, dtype=torch.bfloat16) for _ in range(2))
    finished = torch.cuda.synchronize if device == "cuda" else _nothing
    return max(_flops(lambda: a @ b, width, finished) for _ in range(_TRIALS))


def _flops(product: Callable[[], object], width: int, finished: Callable[[], None]) -> float:
    product()
    finished()
    start = time.perf_counter()
    for _ in range(_REPEATS):
        product()
    finished()
    return _REPEATS * 2 * width**3 / (time.perf_counter() - start)


def _nothing() -> None:
    """A CPU's products are finished when they return."""
