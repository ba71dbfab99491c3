"""Sentence embeddings from an encoder, as sentence-transformers computes them for mean-pooling models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.files import read_json
from qaemb.models.adapter import Adapter, merge_adapter
from qaemb.models.folder import read_model_info
from qaemb.models.inputs import Progress, check_inputs, cpu_threads, length_batches

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BATCH_TOKENS = 2048
_VERSION = 1  # raise it when a change of code changes vectors: kept ones are then left alone
_DEFAULT_TOKENS = 512  # for a model that names no limit


class Encoder:
    """Embeds texts with the encoder in a model folder: mean over tokens, then length 1. Computes in float32.

    `adapter`: what fine-tuning adds to its maps; None: the encoder as it is.

    A text longer than the model takes loses its beginning, as everywhere in qaemb (sentence-transformers drops the
    end). Markers such as `[SEP]` in a text are read as plain text.
    """

    def __init__(self, folder: Path, threads: int | None = None, adapter: Adapter | None = None) -> None:
        self.info = read_model_info(folder)
        if self.info.kind != "encoder":
            raise BadInput(f"model `{self.info.name}` is of kind {self.info.kind}; an embedding needs an encoder")
        self._folder = folder
        self._threads = threads
        self._adapter = adapter
        _check_pooling(folder)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.info.name

    @property
    def width(self) -> int:
        """The number of values in a vector."""
        return int(read_json(self._folder / "config.json")["hidden_size"])

    @property
    def specs(self) -> list[dict[str, Any]]:
        """What changes a vector: the model, and its adapter where it has one."""
        spec = {
            "family": "embedding",
            "model_digest": self.info.digest,
            "pooling": "mean, length 1",
            "dtype": "float32",
        }
        tuned = {"adapter": self._adapter.digest} if self._adapter else {}
        return [{**spec, **tuned, "version": _VERSION}]

    def vectors(self, texts: Sequence[str], progress: Progress) -> list[NDArray[np.float32]]:
        """Return the embeddings of the texts, as the only kind of vector that an encoder has."""
        return [self.embed(texts, progress)]

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return float32 (texts, d) rows of length 1; BadInput names an empty text.

        `progress` is called with the number of texts done since the last call.
        """
        import torch

        check_inputs(texts, ["-"])
        rows = self.token_ids(texts)
        out = np.empty((len(rows), self.model.config.hidden_size), np.float32)
        with torch.inference_mode(), cpu_threads(self._threads):
            for batch in length_batches([len(row) for row in rows], _BATCH_TOKENS):
                out[batch] = self.forward([rows[number] for number in batch]).cpu().numpy()
                if progress:
                    progress(len(batch))
        return out

    def lengths(self, texts: Sequence[str]) -> tuple[list[int], int]:
        """Return the tokens of each text after cutting, and how many texts are cut."""
        rows = self.token_ids(texts, cut=False)
        return [min(len(row), self._max_tokens) for row in rows], sum(len(row) > self._max_tokens for row in rows)

    @cached_property
    def model(self) -> PreTrainedModel:
        """The model itself with its adapter merged in, on the CUDA device where there is one."""
        import torch
        from transformers import AutoModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # the bar for texts or cells stands alone
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModel.from_pretrained(self._folder, dtype="float32", use_safetensors=True, local_files_only=True)
        if self._adapter:
            merge_adapter(model, self._adapter)
        return model.eval().to(device)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._folder, truncation_side="left", local_files_only=True)

    @cached_property
    def _max_tokens(self) -> int:
        return max_tokens(self._folder, self._tokenizer)

    def token_ids(self, texts: Sequence[str], cut: bool = True) -> list[list[int]]:
        """Return the tokens of each text, of one that is too long the last ones (all of them without `cut`)."""
        limit = {"truncation": True, "max_length": self._max_tokens} if cut else {"truncation": False}
        return self._tokenizer(list(texts), split_special_tokens=True, padding=False, verbose=False, **limit)[
            "input_ids"
        ]

    def forward(self, rows: list[list[int]]) -> Tensor:
        """Return the vectors (rows, d) of some rows of tokens in one pass, with gradients where torch keeps them."""
        import torch

        from qaemb.models.kv import padded

        ids, mask = padded(rows, self.model.device)
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state  # (rows, tokens, d)
        weight = mask[:, :, None].to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1)
        return torch.nn.functional.normalize(mean, dim=1)


def max_tokens(folder: Path, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many tokens of a text a model takes: what it was trained for, else the least limit that is named.

    The tokenizer's limit counts beside the config's: models of RoBERTa's family have two more places than they take.
    """
    from transformers import AutoConfig

    trained = folder / "sentence_bert_config.json"
    if trained.exists():
        return int(read_json(trained)["max_seq_length"])
    config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    places = getattr(config, "max_position_embeddings", None) or _DEFAULT_TOKENS
    return min(int(places), int(tokenizer.model_max_length))


def _check_pooling(folder: Path) -> None:
    """Refuse a sentence-transformers model that does not pool by the mean."""
    path = folder / "1_Pooling" / "config.json"
    if path.exists() and not read_json(path).get("pooling_mode_mean_tokens", False):
        raise BadInput(f"{path}: only mean pooling is supported; take a model with pooling_mode_mean_tokens")
