"""What measured tokens and a stated rate of multiplication say about the largest job: arithmetic, no measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from benchmarks.answers.floor import shapes_of

LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
"""The shape of Llama-3-8B, as in its config.json."""

N_TEXTS, N_QUESTIONS = 154_004 + 4_594, 674  # the n-grams of the stories of ds003020, the questions of the paper
MATMUL_FLOPS = 790e12  # bf16 on an H200
SHARES = (0.3, 0.6, 1.0)


@dataclass(frozen=True)
class Scale:
    """Tokens and operations of a cell; at shares of the rate of multiplication, cells a second and hours for all."""

    tokens_per_cell: float
    flops_per_cell: float
    cells_per_s: dict[float, float]
    hours: dict[float, float]


def at_scale(prefix: float, suffix: float) -> Scale:
    """Return the arithmetic for 107 million cells from the mean tokens of a prefix and, in each cell, of a suffix."""
    shapes = shapes_of(SimpleNamespace(**LLAMA_8B))
    per_cell = prefix / N_QUESTIONS + suffix
    flops = per_cell * shapes.token_flops + shapes.cell_flops
    rates = {share: share * MATMUL_FLOPS / flops for share in SHARES}
    hours = {share: N_TEXTS * N_QUESTIONS / rate / 3600 for share, rate in rates.items()}
    return Scale(per_cell, flops, rates, hours)


def scale_markdown(tokens: Mapping[str, Any]) -> str:
    """Return the arithmetic of one round's tokens as a table: each question whole, and first words shared."""
    whole = at_scale(tokens["prefix_mean"], tokens["suffix_mean"])
    packed = at_scale(tokens["prefix_mean"], tokens["suffix_floor_mean"])
    rows = [
        ("tokens per cell (measured)", [f"{scale.tokens_per_cell:.2f}" for scale in (whole, packed)]),
        ("GFLOP per cell", [f"{scale.flops_per_cell / 1e9:.0f}" for scale in (whole, packed)]),
    ]
    for share in SHARES:
        speeds = [f"{scale.cells_per_s[share]:,.0f} ({scale.hours[share]:.1f} h)" for scale in (whole, packed)]
        rows.append((f"cells per second at {share:.0%} of {MATMUL_FLOPS / 1e12:.0f} TFLOP/s (hours for all)", speeds))
    head = "| | each question whole | first words of questions shared |\n|---|---|---|\n"
    return head + "\n".join(f"| {name} | {' | '.join(values)} |" for name, values in rows)
