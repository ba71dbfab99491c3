"""Engine `shared`: what prompts have in common goes through the model once.

Three levels. The header (system message, few-shot turns) is computed once per call; each prefix (a text, or a question,
as the prompt's order says) once on top of it; and all suffixes on top of their prefix, many prefixes and suffixes in
one pass. Attention sees exactly the tokens and positions of the full prompt: padding is masked and takes no position.
Suffixes are padded on the left, so that the answer is always read at the last place.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from qaemb.answers.answerer import Progress, cpu_threads
from qaemb.answers.batching import Budget
from qaemb.answers.engines.causal import CausalAnswerer, Grid
from qaemb.answers.engines.hugging_face import load_causal_lm
from qaemb.answers.labels import margin_and_mass
from qaemb.answers.rendering import Rendered
from qaemb.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache, PreTrainedModel


class SharedAnswerer(CausalAnswerer):
    """Shares the keys and values of header and prefix. For models whose state is keys and values alone."""

    @cached_property
    def model(self) -> PreTrainedModel:
        """The language model, loaded when first used."""
        return load_causal_lm(self.folder, self.settings.dtype)

    def _grid(self, rendered: Rendered, progress: Progress) -> Grid:
        import torch

        self._check_window(rendered)
        shared, suffixes = list(map(len, rendered.shared)), list(map(len, rendered.suffixes))
        shape = (len(shared), len(suffixes))
        margin, mass = np.empty(shape, np.float32), np.empty(shape, np.float32)
        budget = Budget(self.settings.batch_tokens or 1024)
        with torch.inference_mode(), cpu_threads(self.settings.threads):
            header = self._header(rendered.header)
            for group in budget.prefix_groups(shared, len(rendered.header), suffixes):
                prefixes = _Prefixes(self.model, header, [rendered.shared[i] for i in group], len(rendered.header))
                for chunk in budget.suffix_chunks(suffixes, len(group), shared[group[0]]):
                    logits = prefixes.continue_with([rendered.suffixes[j] for j in chunk])
                    cells = [values.view(len(group), len(chunk)) for values in margin_and_mass(logits, self.labels)]
                    margin[np.ix_(group, chunk)], mass[np.ix_(group, chunk)] = (c.cpu().numpy() for c in cells)
                    progress(len(group) * len(chunk))
        return margin, mass

    def _tokens(self, rendered: Rendered) -> int:
        own = sum(map(len, rendered.shared)) - len(rendered.shared) * len(rendered.header)
        return len(rendered.header) + own + len(rendered.shared) * sum(map(len, rendered.suffixes))

    def _header(self, ids: list[int]) -> DynamicCache | None:
        """Keys and values of the header, one row; None if the prompt has no header."""
        import torch

        if not ids:
            return None
        batch = torch.tensor([ids], device=self.model.device)
        return self.model(input_ids=batch, use_cache=True, logits_to_keep=1).past_key_values

    def _check_window(self, rendered: Rendered) -> None:
        """A sliding window counts places, padding included: refuse prompts that reach beyond it."""
        window = getattr(self.model.config.get_text_config(), "sliding_window", None)
        longest = max(map(len, rendered.shared)) + max(map(len, rendered.suffixes))
        if window and longest >= window:
            raise BadInput(
                f"a prompt of {longest} tokens is longer than the sliding window ({window}) of model "
                f"`{self.info.name}`; use engine `reference`, or shorter texts"
            )


class _Prefixes:
    """Keys and values of some prefixes, ready to be continued."""

    def __init__(self, model: PreTrainedModel, header: DynamicCache | None, rows: list[list[int]], skip: int) -> None:
        import torch

        from qaemb.answers.engines.kv import padded, repeated_cache

        self._model = model
        self._lengths = torch.tensor([len(row) for row in rows], device=model.device)
        ids, mask = padded([row[skip:] for row in rows], left=False, device=model.device)
        self._mask = torch.cat([mask.new_ones(len(rows), skip), mask], dim=1)
        self._cache = model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=torch.arange(skip, skip + ids.shape[1], device=model.device).expand(len(rows), -1),
            past_key_values=repeated_cache(header, len(rows)) if header else None,
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values

    def continue_with(self, suffixes: list[list[int]]) -> Tensor:
        """Return the logits (prefixes x suffixes, vocabulary) after each prefix with each suffix, prefix by prefix."""
        import torch

        from qaemb.answers.engines.kv import fixed_cache, padded

        n, c = len(self._lengths), len(suffixes)
        ids, mask = padded(suffixes, left=True, device=self._model.device)
        place = (mask.cumsum(1) - 1).clamp(min=0)  # of a token in its suffix; padding is masked, so any place will do
        return self._model(
            input_ids=ids.repeat(n, 1),
            attention_mask=torch.cat([self._mask.repeat_interleave(c, 0), mask.repeat(n, 1)], dim=1),
            position_ids=self._lengths.repeat_interleave(c)[:, None] + place.repeat(n, 1),
            past_key_values=fixed_cache(self._cache, c),
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
