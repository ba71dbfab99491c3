"""Hidden states of an encoder or a causal language model, as vectors of texts.

    state (layer, token) -> vector (layer, pooling)

Layer 0 is what goes into the first layer, layer n what comes out of the n-th; the last one is taken after the model's
final normalisation, as transformers gives it. Pooling over the tokens of a text:

- `last`: the text's last token; the markers that a tokenizer puts around a text ([CLS], [SEP], <s>) do not count;
- `mean`: the mean over all tokens, markers included, as the paper pools BERT;
- `mean_text`: the mean over the text's own tokens.

A causal model whose tokenizer puts no marker before a text gets the model's start token there (else its end token).
The state of the very first token is that of no text in particular (norm 24,000 in layer 12 of SmolLM2-135M, against 150
of the others), and without a marker it would be that of the first word.

A text of which the tokenizer leaves nothing is pooled over its markers. A text longer than the model takes loses its
beginning, as everywhere in qaemb, and markers such as `[SEP]` in a text are read as plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput, BadParameter
from qaemb.models.encoder import max_tokens
from qaemb.models.folder import read_model_info
from qaemb.models.inputs import Progress, check_inputs, cpu_threads, length_batches

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Readout = tuple[int, str]
"""A layer and a pooling."""

_BATCH_TOKENS = {"cpu": 2048, "cuda": 16_384}  # with padding
_VERSION = 1  # raise it when a change of code changes vectors: kept ones are then left alone


class HiddenStates:
    """Vectors of texts from one layer and pooling of the model in a folder; others come out of the same pass.

    `also` lists these others; of them, layers that the model lacks are left out. BadParameter if the model lacks the
    layer itself, BadInput if it is an encoder-decoder.
    """

    def __init__(self, folder: Path, readout: Readout, also: Sequence[Readout] = (), dtype: str = "float32") -> None:
        self.info = read_model_info(folder)
        self._folder = folder
        self._dtype = dtype
        config = self._config
        if config.is_encoder_decoder:
            raise BadInput(
                f"model `{self.info.name}` is an encoder-decoder; hidden states need an encoder or a causal LM"
            )
        n = int(config.get_text_config().num_hidden_layers)
        if not -n - 1 <= readout[0] <= n:
            raise BadParameter(
                f"model `{self.info.name}` has no layer {readout[0]}: layers are 0 (the input of the first) to {n}, or "
                f"{-n - 1} to -1 from the end"
            )
        readouts = [readout, *(other for other in also if -n - 1 <= other[0] <= n)]
        self._readouts = list(dict.fromkeys((layer % (n + 1), pooling) for layer, pooling in readouts))
        self._n_layers = n

    @property
    def name(self) -> str:
        """The model's name."""
        return self.info.name

    @property
    def specs(self) -> list[dict[str, Any]]:
        """What changes a vector, for each layer and pooling: these, the model, and what it computes in."""
        spec = {"family": "hidden", "model_digest": self.info.digest, "dtype": self._dtype, "version": _VERSION}
        return [{**spec, "layer": layer, "pooling": pooling} for layer, pooling in self._readouts]

    def vectors(self, texts: Sequence[str], progress: Progress | None = None) -> list[NDArray[np.float32]]:
        """Return for each layer and pooling float32 (texts, d); BadInput names a text that is empty.

        `progress` is called with the number of texts done since the last call.
        """
        import torch

        check_inputs(texts, ["-"])
        rows, is_text = self._token_ids(texts)
        vectors = [np.empty((len(rows), self._width), np.float32) for _ in self._readouts]
        budget = _BATCH_TOKENS[self._model.device.type]
        with torch.inference_mode(), cpu_threads(None):
            for batch in length_batches([len(row) for row in rows], budget):
                pooled = self._pooled([rows[number] for number in batch], [is_text[number] for number in batch])
                for values, part in zip(vectors, pooled, strict=True):
                    values[batch] = part
                if progress:
                    progress(len(batch))
        return vectors

    @cached_property
    def _config(self) -> PretrainedConfig:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self._folder, local_files_only=True)

    @property
    def _width(self) -> int:
        return int(self._config.get_text_config().hidden_size)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._folder, truncation_side="left", local_files_only=True)

    @cached_property
    def _model(self) -> PreTrainedModel:
        """The model without its head, and without the layers of which nothing is read."""
        import torch
        from transformers import AutoModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # the bar for texts stands alone
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModel.from_pretrained(self._folder, dtype=self._dtype, use_safetensors=True, local_files_only=True)
        # One layer more than is read: what comes out of the last one is normalised by the model.
        needed = max(layer for layer, _ in self._readouts) + 1
        stacks = [
            part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == self._n_layers
        ]
        if len(stacks) == 1:
            del stacks[0][needed:]
        return model.eval().to(device)

    @cached_property
    def _start(self) -> list[int]:
        """What stands before every text of a causal model, where its tokenizer puts nothing there itself."""
        probe = self._tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
        ids = (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id)
        starts = [token for token in ids if token is not None]
        return starts[:1] if self.info.kind == "causal" and not probe[0] else []

    def _token_ids(self, texts: Sequence[str]) -> tuple[list[list[int]], list[list[bool]]]:
        """Return the token ids of each text, and which of them are the text's own; where none is, all are."""
        encoded = self._tokenizer(
            list(texts),
            split_special_tokens=True,
            return_special_tokens_mask=True,
            truncation=True,
            max_length=max_tokens(self._folder, self._tokenizer) - len(self._start),
            padding=False,
            verbose=False,
        )
        rows, is_text = [], []
        for text, ids, added in zip(texts, encoded["input_ids"], encoded["special_tokens_mask"], strict=True):
            row, markers = [*self._start, *ids], [*(1 for _ in self._start), *added]
            if not row:
                raise BadInput(f"the tokenizer of model `{self.info.name}` leaves nothing of {text!r}; remove it")
            rows.append(row)
            is_text.append([not marker or all(markers) for marker in markers])
        return rows, is_text

    def _pooled(self, rows: list[list[int]], is_text: list[list[bool]]) -> list[NDArray[np.float32]]:
        import torch

        from qaemb.models.kv import padded

        ids, mask = padded(rows, self._model.device)
        text, _ = padded([[int(value) for value in row] for row in is_text], self._model.device)
        states = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        places = torch.arange(ids.shape[1], device=ids.device)
        last = (text * places == (text * places).amax(1, keepdim=True)) & (text == 1)
        weights = {"mean": mask, "mean_text": text, "last": last}
        return [_average(states[layer], weights[pooling]) for layer, pooling in self._readouts]


def _average(states: Tensor, weights: Tensor) -> NDArray[np.float32]:
    """Return means over tokens, in float32: states (rows, tokens, d), weights 0 or 1 (rows, tokens)."""
    share = weights.float() / weights.float().sum(1, keepdim=True)
    return (states.float() * share[:, :, None]).sum(1).cpu().numpy()
