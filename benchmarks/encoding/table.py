"""The tables of docs/performance.md on encoding, from the figures of a run."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from qaemb.files import write_text

DOCS = Path(__file__).parents[2] / "docs" / "performance.md"
_BEGIN, _END = "<!-- encoding: begin -->", "<!-- encoding: end -->"
_NAMES = {
    "qaemb": "qaemb",
    "himalaya_numpy": "himalaya RidgeCV, numpy",
    "himalaya_torch": "himalaya RidgeCV, torch",
    "scikit_learn": "scikit-learn, a Ridge per fold and penalty",
    "svd_float64": "an SVD per held-out set, float64",
    "svd_float32": "an SVD per held-out set, float32",
}


def write_tables(figures: dict[str, Any]) -> None:
    """Put the tables between their markers."""
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    write_text(DOCS, f"{before}{_BEGIN}\n{tables(figures)}\n{_END}{after}")


def tables(figures: dict[str, Any]) -> str:
    """Return a table per problem, and a line on the full size."""
    parts = [_table(name, peers) for name, peers in figures["sizes"].items()]
    full = figures["full_size"]
    parts.append(
        f"Out of core, {full['size']}: {full['seconds'] / 60:.1f} minutes, {full['peak_gib']:.1f} GiB at most, "
        f"{full['plan_seconds'] / 60:.1f} of the minutes before the first voxel."
    )
    return "\n\n".join(parts)


def _table(name: str, peers: dict[str, Any]) -> str:
    lines = [
        f"| {name} | seconds | of qaemb's | peak GiB | largest difference of held-out r | same penalty |",
        "|---|---|---|---|---|---|",
    ]
    for peer, own in peers.items():
        ratios = [a / b for a, b in zip(own["seconds"], peers["qaemb"]["seconds"], strict=True)]
        lines.append(
            f"| {_NAMES[peer]} | {median(own['seconds']):.1f} | {median(ratios):.1f} | {own['peak_gib']:.1f} "
            f"| {own['max_abs_dr']:.0e} | {100 * own['same_alpha']:.1f} % |"
        )
    return "\n".join(lines)
