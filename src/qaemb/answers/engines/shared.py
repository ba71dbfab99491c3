"""Engine `shared`: what prompts have in common goes through the model once.

Three levels. The header (system message, few-shot turns) is computed once per call; each prefix (a text, or a question,
as the prompt's order says) once on top of it; and the suffixes on top of their prefix, packed into trees so that the
tokens that suffixes begin with in common are computed once, too (packing.py). Attention sees exactly the tokens and
positions of the full prompt: padding and other suffixes are masked and take no position.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from qaemb.answers.engines.causal import CausalAnswerer, Grid
from qaemb.answers.packing import MAX_NODES, Pack, pack
from qaemb.answers.rendering import Rendered, margin_and_mass
from qaemb.errors import BadInput, QaembError
from qaemb.models.causal import load_causal_lm
from qaemb.models.inputs import PassSize, Progress, cpu_threads, group_size, rows_per_pass

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache, PreTrainedModel

_ALIKE = {"float32": 0.02, "bfloat16": 1.0}  # nats; rounding stays far below, a mask that a model ignores does not


class SharedAnswerer(CausalAnswerer):
    """Shares the keys and values of header and prefix. For models whose state is keys and values alone."""

    _checked = False

    @cached_property
    def model(self) -> PreTrainedModel:
        """The language model, loaded when first used."""
        return load_causal_lm(self.folder, self.settings.dtype)

    @cached_property
    def _size(self) -> PassSize:
        return PassSize(self.settings.batch_tokens)

    def _grid(self, rendered: Rendered, progress: Progress) -> Grid:
        import torch

        self._check_window(rendered)
        lengths = list(map(len, rendered.shared))
        waiting = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
        margin, mass = (np.empty((len(lengths), len(rendered.suffixes)), np.float32) for _ in range(2))
        with torch.inference_mode(), cpu_threads(self.settings.threads):
            trees = self._packs(rendered)
            self._check_alike(rendered, trees[0])
            packs = [_Packed(self.model, tree) for tree in trees]
            header = self._header(rendered.header)
            while waiting:
                n = group_size([lengths[i] for i in waiting], len(rendered.header), self._size.tokens)
                group, waiting = waiting[:n], waiting[n:]
                try:
                    prefixes = _Prefixes(self.model, header, [rendered.shared[i] for i in group], len(rendered.header))
                    cells = self._answer(prefixes, packs)
                except torch.OutOfMemoryError as error:
                    self._shrink(error)
                    waiting = group + waiting
                    continue
                margin[group], mass[group] = cells
                progress(len(group) * len(rendered.suffixes))
        return margin, mass

    def _answer(self, prefixes: _Prefixes, packs: list[_Packed]) -> Grid:
        """Return margins and masses, both (prefixes, suffixes)."""
        n = len(prefixes)
        margin, mass = (np.empty((n, sum(len(one.members) for one in packs)), np.float32) for _ in range(2))
        for one in packs:
            step = rows_per_pass(len(one.ids), len(one.members), self._size.tokens)
            for start in range(0, n, step):
                rows = slice(start, min(n, start + step))
                begin = time.perf_counter()
                values = margin_and_mass(prefixes.continue_with(one, rows), self.labels)
                cells = (value.view(-1, len(one.members)).cpu().numpy() for value in values)
                margin[rows, one.members], mass[rows, one.members] = cells
                self._size.record((rows.stop - start) * len(one.ids), time.perf_counter() - begin)
        return margin, mass

    def _tokens(self, rendered: Rendered) -> int:
        prefixes = sum(map(len, rendered.shared)) - len(rendered.shared) * len(rendered.header)
        endings = sum(len(one.ids) for one in self._packs(rendered))
        return len(rendered.header) + prefixes + len(rendered.shared) * endings

    def _packs(self, rendered: Rendered) -> list[Pack]:
        return pack(rendered.suffixes, min(MAX_NODES, self.settings.batch_tokens or MAX_NODES))

    def _header(self, ids: list[int]) -> DynamicCache | None:
        """Keys and values of the header, one row; None if the prompt has no header."""
        import torch

        if not ids:
            return None
        batch = torch.tensor([ids], device=self.model.device)
        return self.model(input_ids=batch, use_cache=True, logits_to_keep=1).past_key_values

    def _shrink(self, error: Exception) -> None:
        """Go on with smaller passes after the GPU ran out of memory."""
        import torch

        torch.cuda.empty_cache()
        if not self._size.shrink():
            raise QaembError(
                f"out of memory in passes of {self._size.tokens} tokens: {error}; use dtype bfloat16, shorter texts, "
                "or a device with more memory"
            ) from error

    def _check_window(self, rendered: Rendered) -> None:
        """A sliding window is not looked at in packs: refuse prompts that reach beyond it."""
        window = getattr(self.model.config.get_text_config(), "sliding_window", None)
        longest = max(map(len, rendered.shared)) + max(map(len, rendered.suffixes))
        if window and longest >= window:
            raise BadInput(
                f"a prompt of {longest} tokens is longer than the sliding window ({window}) of model "
                f"`{self.info.name}`; use engine `reference`, or shorter texts"
            )

    def _check_alike(self, rendered: Rendered, packed: Pack) -> None:
        """Compare one cell with its full prompt, once: an architecture may not take masks and places as given."""
        import torch

        if self._checked:
            return
        member = packed.members[-1]
        ids = torch.tensor([rendered.shared[0] + rendered.suffixes[member]], device=self.model.device)
        logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
        expected = margin_and_mass(logits, self.labels)[0].item()
        way_out = f"model `{self.info.name}` can't share prefixes, use engine `reference`:"
        try:
            header = self._header(rendered.header)
            prefix = _Prefixes(self.model, header, rendered.shared[:1], len(rendered.header))
            logits = prefix.continue_with(_Packed(self.model, packed), slice(0, 1))
        except torch.OutOfMemoryError as error:
            raise QaembError(f"out of memory with a single text: {error}") from error
        except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise BadInput(f"{way_out} {error}") from error
        margin = margin_and_mass(logits, self.labels)[0][-1].item()
        if not abs(margin - expected) <= _ALIKE[self.settings.dtype] * max(1.0, abs(expected)):
            raise BadInput(f"{way_out} its margin is {margin:.3f} with one and {expected:.3f} with the full prompt")
        self._checked = True


class _Packed:
    """A pack's tokens, places and visibility on the model's device."""

    def __init__(self, model: PreTrainedModel, source: Pack) -> None:
        import torch

        self.members = source.members
        self.ids = torch.tensor(source.ids, device=model.device)
        self.places = torch.tensor(source.places(), device=model.device)
        self.visible = torch.tensor(source.visible(), device=model.device)
        self.ends = torch.tensor(source.ends, device=model.device)


class _Prefixes:
    """Keys and values of some prefixes, ready to be continued."""

    def __init__(self, model: PreTrainedModel, header: DynamicCache | None, rows: list[list[int]], skip: int) -> None:
        import torch

        from qaemb.models.kv import padded, repeated_cache

        self._model = model
        self._lengths = torch.tensor([len(row) for row in rows], device=model.device)
        ids, mask = padded([row[skip:] for row in rows], model.device)
        self._mask = torch.cat([mask.new_ones(len(rows), skip), mask], dim=1)
        self._cache = model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=torch.arange(skip, skip + ids.shape[1], device=model.device).expand(len(rows), -1),
            past_key_values=repeated_cache(header, len(rows)) if header else None,
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values

    def __len__(self) -> int:
        return len(self._lengths)

    def continue_with(self, packed: _Packed, rows: slice) -> Tensor:
        """Return the logits (rows x members of the pack, vocabulary), prefix by prefix."""
        import torch

        from qaemb.models.kv import additive, fixed_cache

        lengths, prefix = self._lengths[rows], self._mask[rows].bool()
        shape = len(lengths), 1, len(packed.ids)
        visible = [prefix[:, None, None].expand(*shape, -1), packed.visible.expand(*shape, -1)]
        logits = self._model(
            input_ids=packed.ids.repeat(len(lengths), 1),
            attention_mask=additive(torch.cat(visible, dim=3), self._model.dtype),
            position_ids=lengths[:, None] + packed.places,
            past_key_values=fixed_cache(self._cache, rows),
            use_cache=True,
            logits_to_keep=packed.ends,
        ).logits
        return logits.flatten(0, 1)
