"""The floor: the time of the model's own matrix multiplications alone, for no more tokens than a case needs.

What is left out: attention, norms, rotary positions, activations, padding, Python. What is in: the seven linear layers
of each block for every token, and for every cell the last layer from hidden state to logits, over the whole vocabulary
(the mass needs it) and in float32 whatever the dtype, as all engines compute it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qaemb.answers.rendering import Rendered

_HEIGHTS = (256, 512, 1024, 2048)  # rows of a multiplication; the best is found
_TRIAL_LAYERS = 4


@dataclass(frozen=True)
class Shapes:
    """A Llama-like model's linear layers as (in, out): those of one block, how many blocks, and the head."""

    block: tuple[tuple[int, int], ...]
    n_blocks: int
    head: tuple[int, int]

    @property
    def token_flops(self) -> int:
        """Multiplications and additions of all blocks for one token."""
        return 2 * self.n_blocks * sum(width * out for width, out in self.block)

    @property
    def cell_flops(self) -> int:
        """Multiplications and additions of the head for one cell."""
        return 2 * self.head[0] * self.head[1]


def shapes_of(config: Any) -> Shapes:
    """Return the shapes from a loaded Hugging Face config: q, k, v, o, gate, up and down of each block."""
    hidden, inner = config.hidden_size, config.intermediate_size
    width = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    queries, keys = config.num_attention_heads * width, config.num_key_value_heads * width
    attention = ((hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden))
    return Shapes(
        (*attention, (hidden, inner), (hidden, inner), (inner, hidden)),
        config.num_hidden_layers,
        (hidden, config.vocab_size),
    )


def shapes_in(folder: Path) -> Shapes:
    """Return the shapes of the model in a folder."""
    from transformers import AutoConfig

    return shapes_of(AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config())


def least_tokens(rendered: Rendered) -> dict[str, int]:
    """Return how many tokens a grid of prompts has at three grades of sharing.

    `shared`: the header once, each prefix once, each suffix in every cell. `trie`: each beginning that any prompts
    have in common once, which also shares the first words of suffixes. `whole`: nothing shared.
    """
    own = [row[len(rendered.header) :] for row in rendered.shared]
    n, suffixes = len(own), sum(map(len, rendered.suffixes))
    return {
        "shared": len(rendered.header) + sum(map(len, own)) + n * suffixes,
        "trie": len(rendered.header) + _beginnings(own) + n * _beginnings(rendered.suffixes),
        "whole": sum(map(len, rendered.shared)) * len(rendered.suffixes) + n * suffixes,
    }


@dataclass(frozen=True)
class Measured:
    """CPU seconds of the blocks' multiplications for a token, and of the head's for a cell, at the best heights."""

    token_s: float
    cell_s: float

    def seconds(self, tokens: int, cells: int) -> float:
        """Return the floor of a case."""
        return tokens * self.token_s + cells * self.cell_s


class Floor:
    """Weights of the model's shapes (random: values do not matter) and the heights that suit them.

    A measurement is repeated until it has taken `min_cpu_s` seconds.
    """

    def __init__(self, shapes: Shapes, dtype: str, min_cpu_s: float) -> None:
        import torch

        made = getattr(torch, dtype)
        self._shapes, self._dtype, self._min_cpu_s = shapes, dtype, min_cpu_s
        self._blocks = [[_random((out, width), made) for width, out in shapes.block] for _ in range(shapes.n_blocks)]
        self._head = [[_random((shapes.head[1], shapes.head[0]), torch.float32)]]
        self._height = _best_height(self._blocks[:_TRIAL_LAYERS], min_cpu_s / 4)
        self._head_height = _best_height(self._head, min_cpu_s / 4)

    def measure(self) -> Measured:
        """Return what a token and a cell cost now."""
        return Measured(
            _row_seconds(self._blocks, self._height, self._min_cpu_s),
            _row_seconds(self._head, self._head_height, self._min_cpu_s),
        )

    def about(self) -> dict[str, Any]:
        """Return dtype, heights and operations."""
        return {
            "dtype": self._dtype,
            "rows": self._height,
            "head_rows": self._head_height,
            "flops_per_token": self._shapes.token_flops,
            "flops_per_cell": self._shapes.cell_flops,
        }


def _beginnings(rows: Iterable[Sequence[int]]) -> int:
    return len({tuple(row[:length]) for row in rows for length in range(1, len(row) + 1)})


def _random(shape: tuple[int, int], dtype: Any) -> Any:
    import torch

    return (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)


def _best_height(blocks: list[list[Any]], min_cpu_s: float) -> int:
    _row_seconds(blocks, max(_HEIGHTS), 0.0)  # the first pass touches new memory
    seconds = {height: _row_seconds(blocks, height, min_cpu_s) for height in _HEIGHTS}
    return min(seconds, key=lambda height: seconds[height])


def _row_seconds(blocks: list[list[Any]], height: int, min_cpu_s: float) -> float:
    """CPU seconds of all multiplications for one row, measured at `height` rows."""
    import torch
    from torch.nn.functional import linear

    flat = [weight for block in blocks for weight in block]
    inputs = {weight.shape[1]: _random((height, weight.shape[1]), weight.dtype) for weight in flat}

    def one_pass() -> None:
        for weight in flat:
            linear(inputs[weight.shape[1]], weight)

    with torch.inference_mode():
        passes, start = 0, time.process_time()
        while passes == 0 or time.process_time() - start < min_cpu_s:
            one_pass()
            passes += 1
        return (time.process_time() - start) / (passes * height)
