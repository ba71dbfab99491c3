"""Retrieval: every set at hand; QAEMB_RETRIEVAL names a folder whose folders are more of them (BEIR, Cranfield)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tasks.part import Figures, Part, plain, with_interval

_METHODS = (
    "bm25",
    "tfidf",
    "embedding",
    "answers",
    "answers_weighted",
    "bm25+answers",
    "embedding+answers",
    "bm25+embedding",
    "bm25+embedding+answers",
)
_CORE = "_core"
_PAIRS = ("bm25+answers_minus_bm25", "embedding+answers_minus_embedding", "answers_weighted_minus_answers")


def _tasks() -> dict[str, dict[str, str]]:
    tasks = {name: f"data/tasks/{name}" for name in ("household", "lee_leads")} | {"lee_retrieval": "data/tasks/lee"}
    folder = os.environ.get("QAEMB_RETRIEVAL")
    own = sorted(path for path in Path(folder).resolve().iterdir() if path.is_dir()) if folder else []
    return {name: {"data": data} for name, data in (tasks | {path.name: str(path) for path in own}).items()} | {
        f"{name}{_CORE}": {"data": data, "set": "core"} for name, data in tasks.items()
    }


def _headline(figures: Figures) -> dict[str, float]:
    worst = min(own["bm25+answers_minus_bm25_ndcg_10"] for own in figures.values())
    return {"retrieval_bm25_answers_minus_bm25_worst_set": round(worst, 4)}


def _table(figures: Figures) -> list[str]:
    full, core = (
        {name: own for name, own in figures.items() if name.endswith(_CORE) == is_core} for is_core in (False, True)
    )
    learning = [method for method in _METHODS if "answers" in method]
    lines = [*_scores(full, _METHODS), "", *_scores(core, learning), ""]
    lines += ["| difference | set | nDCG@10 | p | MRR | p |", "|---|---|---|---|---|---|"]
    for pair in _PAIRS:
        ndcg, mrr = f"{pair}_ndcg_10", f"{pair}_mrr"
        lines += [
            f"| {pair.replace('_minus_', ' minus ')} | {name} | {with_interval(own, ndcg)} | {plain(own[f'{ndcg}_p'])} "
            f"| {with_interval(own, mrr)} | {plain(own[f'{mrr}_p'])} |"
            for name, own in figures.items()
        ]
    return lines


def _scores(figures: Figures, methods: Sequence[str]) -> list[str]:
    """Return a table of methods by sets."""
    lines = [f"| nDCG@10 | {' | '.join(figures)} |", "|---" * (len(figures) + 1) + "|"]
    for method in methods:
        cells = (with_interval(own[method], "ndcg_10") for own in figures.values())
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


PART = Part("retrieval", _tasks(), _headline, _table)
