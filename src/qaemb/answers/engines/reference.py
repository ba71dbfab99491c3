"""Engine `reference`: one full prompt per cell, one at a time. Slow and plain: the oracle for all others."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from qaemb.answers.engines.causal import CausalAnswerer, Grid
from qaemb.answers.rendering import Rendered, margin_and_mass
from qaemb.models.causal import load_causal_lm
from qaemb.models.inputs import Progress, cpu_threads

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ReferenceAnswerer(CausalAnswerer):
    """Runs the whole prompt of each cell through the model, without batches, padding or cache."""

    @cached_property
    def model(self) -> PreTrainedModel:
        """The language model, loaded when first used."""
        return load_causal_lm(self.folder, self.settings.dtype)

    def _grid(self, rendered: Rendered, progress: Progress) -> Grid:
        import torch

        shape = (len(rendered.shared), len(rendered.suffixes))
        margin, mass = np.empty(shape, np.float32), np.empty(shape, np.float32)
        with torch.inference_mode(), cpu_threads(self.settings.threads):
            for row, shared in enumerate(rendered.shared):
                for column, suffix in enumerate(rendered.suffixes):
                    ids = torch.tensor([shared + suffix], device=self.model.device)
                    logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
                    cell_margin, cell_mass = margin_and_mass(logits, self.labels)
                    margin[row, column], mass[row, column] = cell_margin.item(), cell_mass.item()
                    progress(1)
        return margin, mass

    def _tokens(self, rendered: Rendered) -> int:
        shared, suffixes = sum(map(len, rendered.shared)), sum(map(len, rendered.suffixes))
        return shared * len(rendered.suffixes) + suffixes * len(rendered.shared)
