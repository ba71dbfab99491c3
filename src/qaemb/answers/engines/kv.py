"""Keys and values of prefixes that many prompts share. Imported only when a model is run."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from qaemb.errors import BadInput


class FixedLayer(DynamicLayer):
    """One layer's keys and values of `n` prefixes, each under `repeats` prompts; new ones are returned, never kept.

    Row `i * repeats + j` of a batch continues prefix i. The joined keys live for one layer's attention only, so the
    memory of a pass does not grow with the number of layers, and the prefixes stay as they are for the next pass.
    """

    def __init__(self, keys: Tensor, values: Tensor, repeats: int) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = self._prefixes = keys, values
        self._repeats = repeats

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Return prefix and new keys (and values) joined along the positions."""
        keys, values = self._prefixes
        return self._join(keys, key_states), self._join(values, value_states)

    def _join(self, prefix: Tensor, new: Tensor) -> Tensor:
        n, heads, length, width = prefix.shape
        joined = new.new_empty(n * self._repeats, heads, length + new.shape[2], width)
        joined.view(n, self._repeats, heads, -1, width)[..., :length, :] = prefix[:, None]
        joined[:, :, length:] = new
        return joined


def fixed_cache(cache: DynamicCache, repeats: int) -> Cache:
    """Return a cache over the same tensors in which each row stands for `repeats` prompts."""
    return Cache(layers=[FixedLayer(keys, values, repeats) for keys, values in _states(cache)])


def repeated_cache(cache: DynamicCache, n: int) -> DynamicCache:
    """Return a growing cache of `n` rows that all begin with the only row of `cache`."""
    return DynamicCache([(keys.expand(n, -1, -1, -1), values.expand(n, -1, -1, -1)) for keys, values in _states(cache)])


def padded(rows: list[list[int]], left: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids and mask (1 = token, 0 = padding), both int64 (rows, longest), padded on the left or right."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[number, place] = torch.tensor(row)
        mask[number, place] = 1
    return ids.to(device), mask.to(device)


def _states(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of all layers; BadInput for a model whose layers keep another kind of state."""
    states = []
    for layer in cache.layers:
        if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
            raise BadInput("engine `shared` needs a model of attention layers alone; use engine `reference`")
        states.append((layer.keys, layer.values))
    return states
