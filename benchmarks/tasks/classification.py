"""Classification: accuracy against the number of questions on every labelled set at hand."""

from __future__ import annotations

from typing import Any

from benchmarks.tasks.part import Figures, Part, plain, with_interval

_SIZES = (1, 2, 5, 10, 20, 30, 50)
_SETS = ("messages", "reviews", "books", "reuters", "newsgroups")
_PAIRS = ("embedding", "tfidf", "random_30", "answers_all")


def _tasks() -> dict[str, dict[str, Any]]:
    return {name: {"data": data_of(name), "classification": {"n_repeats": 3}} for name in _SETS}


def data_of(name: str) -> str:
    """Return where a labelled set is: a table of our own, or a folder that names a package."""
    return "data/tasks/messages.csv" if name == "messages" else f"data/tasks/{name}"


def _headline(figures: Figures) -> dict[str, float]:
    differences = [own["answers_30_minus_embedding"] for own in figures.values()]
    return {
        "classification_30_answers_minus_minilm_best_set": round(max(differences), 4),
        "classification_30_answers_minus_minilm_worst_set": round(min(differences), 4),
    }


def _table(figures: Figures) -> list[str]:
    sets = list(figures)
    lines = [f"| accuracy | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    methods = [f"{way}_{size}" for size in (*_SIZES, "all") for way in ("answers", "random")]
    for method in [*(name for name in methods if name != "random_all"), "tfidf", "embedding", "majority"]:
        cells = (with_interval(figures[name][method], "accuracy") for name in sets)
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += ["", "| accuracy of answers_30 less | set | difference | p |", "|---|---|---|---|"]
    for baseline in _PAIRS:
        key = f"answers_30_minus_{baseline}"
        lines += [
            f"| {baseline} | {name} | {with_interval(own, key)} | {plain(own[f'{key}_p'])} |"
            for name, own in figures.items()
        ]
    return lines


PART = Part("classification", _tasks(), _headline, _table)
