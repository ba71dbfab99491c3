"""The plain way with Hugging Face: full prompts in batches, padded on the left, at the best of some batch sizes.

Token ids, labels and the arithmetic after the logits are the project's own, so that only the way of computing differs.
Prompts are taken in order of length, which saves padding; who does not sort is slower.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.answers.cases import LONG, Asked
from benchmarks.answers.timing import Timed, timed
from qaemb.answers import Progress
from qaemb.answers.engines.causal import CausalAnswerer, Grid
from qaemb.answers.rendering import Rendered, margin_and_mass
from qaemb.models.causal import load_causal_lm
from qaemb.models.inputs import cpu_threads
from qaemb.settings import AnswererSettings

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_SIZES, _LONG_SIZES = (8, 32, 128), (4, 16, 64)  # prompts in a batch; the latter for prompts of hundreds of tokens


class LeftPaddedAnswerer(CausalAnswerer):
    """Runs batches of `batch_size` whole prompts through the model."""

    batch_size = 32

    @cached_property
    def model(self) -> PreTrainedModel:
        """The language model, loaded when first used."""
        return load_causal_lm(self.folder, self.settings.dtype)

    def _grid(self, rendered: Rendered, progress: Progress) -> Grid:
        import torch

        prompts = [shared + suffix for shared in rendered.shared for suffix in rendered.suffixes]
        margin, mass = np.empty(len(prompts), np.float32), np.empty(len(prompts), np.float32)
        order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
        with torch.inference_mode(), cpu_threads(self.settings.threads):
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                values = margin_and_mass(self._logits([prompts[i] for i in batch]), self.labels)
                margin[batch], mass[batch] = (value.cpu().numpy() for value in values)
                progress(len(batch))
        shape = (len(rendered.shared), len(rendered.suffixes))
        return margin.reshape(shape), mass.reshape(shape)

    def _logits(self, prompts: list[list[int]]) -> Tensor:
        import torch

        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        place = (mask.cumsum(1) - 1).clamp(min=0)
        device = self.model.device
        return self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=place.to(device),
            use_cache=False,
            logits_to_keep=1,
        ).logits[:, -1]

    def _tokens(self, rendered: Rendered) -> int:
        shared, suffixes = sum(map(len, rendered.shared)), sum(map(len, rendered.suffixes))
        return shared * len(rendered.suffixes) + suffixes * len(rendered.shared)


class LeftPadded:
    """The contestant: finds its batch size for each prompt and length of texts on a sample."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answerer: LeftPaddedAnswerer | None = None
        self._sizes: dict[str, int] = {}

    def prepare(self, sample: Asked) -> None:
        """Load the model for the sample's prompt, and try all batch sizes for a new prompt or length of texts."""
        if self._answerer is None or sample.prompt != self._answerer.settings.prompt:
            self._answerer = None  # before the next model is loaded
            settings = AnswererSettings(engine="reference", model=self._folder.name, prompt=sample.prompt, threads=1)
            self._answerer = LeftPaddedAnswerer(settings, self._folder)
        if _kind(sample) not in self._sizes:
            self._run(sample.first(1), 8)
            sizes = _LONG_SIZES if sample.words == LONG or sample.prompt == "few_shot" else _SIZES
            speeds = {size: self._run(sample, size).cells_per_core_s for size in sizes}
            self._sizes[_kind(sample)] = max(speeds, key=lambda size: speeds[size])

    def answer(self, asked: Asked) -> Timed:
        """Answer at the best batch size, rendering and tokenising included."""
        return self._run(asked, self._sizes[_kind(asked)])

    def about(self) -> dict[str, Any]:
        """Return the batch sizes found."""
        return {"dtype": "float32", "prompts_in_a_batch": self._sizes}

    def close(self) -> None:
        """Let go of the model."""
        self._answerer = None

    def _run(self, asked: Asked, size: int) -> Timed:
        answerer = self._answerer
        if answerer is None:
            raise RuntimeError("prepare() comes first")
        answerer.batch_size = size
        answers, cpu_s, wall_s = timed(lambda: answerer.answer(asked.texts, asked.questions))
        return Timed(asked.n_cells, cpu_s, wall_s, answers.margin)


def _kind(asked: Asked) -> str:
    return f"{asked.prompt}, {asked.words} words"
