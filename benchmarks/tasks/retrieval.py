"""Retrieval: every set at hand; QAEMB_RETRIEVAL names a folder whose folders are more of them (BEIR, Cranfield)."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.tasks.part import Figures, Part, plain, with_interval

_METHODS = (
    "bm25",
    "tf_idf",
    "embedding",
    "answers",
    "answers_weighted",
    "bm25+answers",
    "embedding+answers",
    "bm25+embedding",
    "bm25+embedding+answers",
)
_PAIRS = ("bm25+answers_minus_bm25", "embedding+answers_minus_embedding", "answers_weighted_minus_answers")


def _tasks() -> dict[str, dict[str, str]]:
    tasks = {name: f"data/tasks/{name}" for name in ("household", "lee_leads")} | {"lee_retrieval": "data/tasks/lee"}
    folder = os.environ.get("QAEMB_RETRIEVAL")
    own = sorted(path for path in Path(folder).resolve().iterdir() if path.is_dir()) if folder else []
    return {name: {"data": data} for name, data in (tasks | {path.name: str(path) for path in own}).items()} | {
        f"{name}_core": {"data": data, "set": "core"} for name, data in tasks.items()
    }


def _headline(figures: Figures) -> dict[str, float]:
    worst = min(own["bm25+answers_minus_bm25_ndcg_10"] for own in figures.values())
    return {"retrieval_bm25_answers_minus_bm25_worst_set": round(worst, 4)}


def _table(figures: Figures) -> list[str]:
    sets = list(figures)
    lines = [f"| nDCG@10 | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    for method in _METHODS:
        lines.append(f"| {method} | {' | '.join(with_interval(figures[name][method], 'ndcg_10') for name in sets)} |")
    lines += ["", "| difference in nDCG@10 | set | difference | p |", "|---|---|---|---|"]
    for pair in _PAIRS:
        key = f"{pair}_ndcg_10"
        lines += [
            f"| {pair.replace('_minus_', ' minus ')} | {name} | {with_interval(own, key)} | {plain(own[f'{key}_p'])} |"
            for name, own in figures.items()
        ]
    return lines


PART = Part("retrieval", _tasks(), _headline, _table)
