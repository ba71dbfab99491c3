"""From timed calls to the numbers that are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.answers.run import CaseResult
from benchmarks.answers.timing import Timed, margin_difference, paired_ratio, summary

_RATIOS = {
    "shared_over_left_padded": ("shared", "left_padded"),
    "shared_over_imodelsx": ("shared", "imodelsx"),
    "shared_bf16_over_imodelsx": ("shared_bf16", "imodelsx"),
    "shared_over_vllm": ("shared", "vllm"),
    "shared_over_reference": ("shared", "reference"),
    "shared_share_of_floor": ("shared", "floor"),
    "shared_bf16_share_of_floor": ("shared_bf16", "floor_bf16"),
    "shared_bf16_over_shared": ("shared_bf16", "shared"),
}
_HEADLINE = {
    "shared_over_imodelsx": ("short_30_text_first", "ratios", "shared_over_imodelsx"),
    "shared_bf16_over_imodelsx_float32": ("short_30_text_first", "ratios", "shared_bf16_over_imodelsx"),
    "shared_share_of_floor": ("short_300_text_first", "ratios", "shared_share_of_floor"),
    "vllm_prefix_hit_rate": ("short_30_few_shot", "contestants", "vllm", "prefix_hit_rate"),
}


def case_figures(result: CaseResult) -> dict[str, Any]:
    """Return a case's settings, tokens, speeds, ratios (paired by round) and differences of margins."""
    case, calls = result.case, result.calls
    return {
        "prompt": case.prompt,
        "words_per_text": case.words,
        "n_questions": case.n_questions,
        "tokens": [asdict(tokens) for tokens in result.tokens],
        "contestants": {name: _contestant(rounds, case.n_texts[name]) for name, rounds in calls.items()},
        "ratios": {
            name: paired_ratio(calls[ours], calls[theirs])
            for name, (ours, theirs) in _RATIOS.items()
            if ours in calls and theirs in calls
        },
        "largest_margin_difference_from_shared": _differences(calls),
    }


def headline(cases: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the medians to watch; None for what did not take part."""
    return {name: _median(cases, path) for name, path in _HEADLINE.items()}


def _contestant(rounds: Sequence[Timed], n_texts: int) -> dict[str, Any]:
    extra = {key: summary([call.extra[key] for call in rounds]) for key in rounds[0].extra}
    return {
        "n_texts": n_texts,
        "n_cells": rounds[0].n_cells,
        "cells_per_core_s": summary([call.cells_per_core_s for call in rounds]),
        "cells_per_wall_s": summary([call.n_cells / call.wall_s for call in rounds]),
        **extra,
    }


def _differences(calls: Mapping[str, Sequence[Timed]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, rounds in calls.items():
        pairs = [margin_difference(a, b) for a, b in zip(calls["shared"], rounds, strict=True)]
        known = [value for value in pairs if value is not None]
        if known and name != "shared":
            found[name] = float(f"{np.max(known):.2g}")
    return found


def _median(cases: Mapping[str, Any], path: Sequence[str]) -> float | None:
    value: Any = cases
    for key in path:
        value = value.get(key)
        if value is None:
            return None
    return float(value["median"])
