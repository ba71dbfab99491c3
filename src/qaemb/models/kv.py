"""Keys and values of prefixes that many prompts share. Imported only when a model is run."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from qaemb.errors import BadInput


class _FixedLayer(DynamicLayer):
    """One layer's keys and values of prefixes; new ones are joined to them for the attention, and never kept.

    The joined keys live for one layer's attention only, so the memory of a pass does not grow with the number of
    layers, and the prefixes stay as they are for the next pass.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = self._prefixes = keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Return prefix and new keys (and values) joined along the positions."""
        keys, values = self._prefixes
        return torch.cat([keys, key_states], dim=2), torch.cat([values, value_states], dim=2)


def fixed_cache(cache: DynamicCache, rows: slice) -> Cache:
    """Return a cache over some rows of another, without a copy, which keeps what it was made with."""
    return Cache(layers=[_FixedLayer(keys[rows], values[rows]) for keys, values in _states(cache)])


def repeated_cache(cache: DynamicCache, n: int) -> DynamicCache:
    """Return a growing cache of `n` rows that all begin with the only row of `cache`."""
    return DynamicCache([(keys.expand(n, -1, -1, -1), values.expand(n, -1, -1, -1)) for keys, values in _states(cache)])


def padded(rows: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids and mask (1 = token, 0 = padding), both int64 (rows, longest), padded on the right."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids.to(device), mask.to(device)


def additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 0 where attention may look and the dtype's lowest number elsewhere."""
    return torch.where(visible, 0.0, torch.finfo(dtype).min).to(dtype)


def _states(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of all layers; BadInput for a model whose layers keep another kind of state."""
    states = []
    for layer in cache.layers:
        if not isinstance(layer, DynamicLayer) or layer.keys is None or layer.values is None:
            raise BadInput("engine `shared` needs a model of attention layers alone; use engine `reference`")
        states.append((layer.keys, layer.values))
    return states
