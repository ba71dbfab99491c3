"""Similarity of pairs: the sets with human ratings that gensim's wheel carries."""

from __future__ import annotations

from benchmarks.tasks.part import Figures, Part, with_interval

_METHODS = ("answers", "answers_rarity", "answers_probability", "answers_yes_no", "embedding", "tfidf", "bm25")
_TASKS = {"lee": "data/tasks/lee", "simlex": "data/tasks/simlex999", "wordsim": "data/tasks/wordsim353"}


def _headline(figures: Figures) -> dict[str, float]:
    return {
        f"similarity_answers_spearman_{name}": round(own["answers"]["spearman"], 4) for name, own in figures.items()
    }


def _table(figures: Figures) -> list[str]:
    sets = list(figures)
    lines = [f"| Spearman's rho | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    for method in _METHODS:
        lines.append(f"| {method} | {' | '.join(with_interval(figures[name][method], 'spearman') for name in sets)} |")
    load = " | ".join(with_interval(figures[name]["answers"], "shared_yes") for name in sets)
    return [*lines, f"| questions that both texts get a yes to, mean | {load} |"]


PART = Part("similarity", {name: {"data": data} for name, data in _TASKS.items()}, _headline, _table)
