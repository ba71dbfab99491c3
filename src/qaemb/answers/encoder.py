"""Sentence embeddings from a frozen encoder, as sentence-transformers computes them for mean-pooling models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers.answerer import check_inputs, cpu_threads
from qaemb.answers.batching import length_batches
from qaemb.answers.models import read_model_info
from qaemb.errors import BadInput
from qaemb.files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BATCH_TOKENS = 2048


class Encoder:
    """Embeds texts with the encoder in a model folder: mean over tokens, then length 1. Computes in float32.

    A text longer than the model takes loses its beginning, as everywhere in qaemb (sentence-transformers drops the
    end). Markers such as `[SEP]` in a text are read as plain text.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.info = read_model_info(folder)
        if self.info.kind != "encoder":
            raise BadInput(f"model `{self.info.name}` is of kind {self.info.kind}; an embedding needs an encoder")
        self._folder = folder
        self._threads = threads
        _check_pooling(folder)

    def embed(self, texts: Sequence[str], progress: bool = False) -> NDArray[np.float32]:
        """Return float32 (texts, d) rows of length 1; BadInput names an empty text. `progress` shows a bar."""
        import torch

        check_inputs(texts, ["-"])
        rows = self._token_ids(texts)
        out = np.empty((len(rows), self._model.config.hidden_size), np.float32)
        bar = tqdm(total=len(rows), desc=f"embed {self.info.name}", unit="text", disable=not progress)
        with bar, torch.inference_mode(), cpu_threads(self._threads):
            for batch in length_batches([len(row) for row in rows], _BATCH_TOKENS):
                out[batch] = self._pooled([rows[number] for number in batch])
                bar.update(len(batch))
        return out

    def lengths(self, texts: Sequence[str]) -> tuple[list[int], int]:
        """Return the tokens of each text after cutting, and how many texts are cut."""
        rows = self._token_ids(texts, cut=False)
        return [min(len(row), self._max_tokens) for row in rows], sum(len(row) > self._max_tokens for row in rows)

    @cached_property
    def _model(self) -> PreTrainedModel:
        import torch
        from transformers import AutoModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # the bar for texts or cells stands alone
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModel.from_pretrained(self._folder, dtype="float32", use_safetensors=True, local_files_only=True)
        return model.eval().to(device)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._folder, truncation_side="left", local_files_only=True)

    @cached_property
    def _max_tokens(self) -> int:
        """The length that the encoder was trained for, else the most that it takes."""
        trained = self._folder / "sentence_bert_config.json"
        if trained.exists():
            return int(read_json(trained)["max_seq_length"])
        return int(read_json(self._folder / "config.json").get("max_position_embeddings", 512))

    def _token_ids(self, texts: Sequence[str], cut: bool = True) -> list[list[int]]:
        limit = {"truncation": True, "max_length": self._max_tokens} if cut else {"truncation": False}
        return self._tokenizer(list(texts), split_special_tokens=True, padding=False, verbose=False, **limit)[
            "input_ids"
        ]

    def _pooled(self, rows: list[list[int]]) -> NDArray[np.float32]:
        import torch

        from qaemb.answers.engines.kv import padded

        ids, mask = padded(rows, self._model.device)
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state  # (rows, tokens, d)
        weight = mask[:, :, None].to(hidden.dtype)
        mean = (hidden * weight).sum(1) / weight.sum(1)
        return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


def _check_pooling(folder: Path) -> None:
    """Refuse a sentence-transformers model that does not pool by the mean."""
    path = folder / "1_Pooling" / "config.json"
    if path.exists() and not read_json(path).get("pooling_mode_mean_tokens", False):
        raise BadInput(f"{path}: only mean pooling is supported; take a model with pooling_mode_mean_tokens")
