"""Clustering, with questions chosen for a set without its labels; the descriptions were written before any score."""

from __future__ import annotations

from benchmarks.tasks.classification import data_of
from benchmarks.tasks.part import Figures, Part, with_interval

_DESCRIPTIONS = {
    "messages": "short messages: apologies, complaints, instructions, invitations, reports and thanks",
    "reviews": "snippets of film reviews, for the film or against it",
    "books": "excerpts from books for children and for adults",
    "reuters": "newswire about company earnings, takeovers, oil, trade, currencies, interest rates, shipping and grain",
    "newsgroups": "newsgroup messages about computers, cars, sport, science, religion, politics and things for sale",
}
_METHODS = (
    "answers_all",
    "answers_wording",
    "answers_described",
    "answers_varied",
    "random",
    "tfidf",
    "embedding",
)
_SCORES = {"v_measure": "V-measure", "separation": "separation"}


def _headline(figures: Figures) -> dict[str, float]:
    better = [own["answers_wording_minus_answers_all_separation"] for own in figures.values()]
    found = [own["answers_wording_minus_random_v_measure"] for own in figures.values()]
    return {
        "clustering_chosen_by_wording_minus_all_separation_worst_set": round(min(better), 4),
        "clustering_chosen_by_wording_minus_random_v_measure_worst_set": round(min(found), 4),
    }


def _table(figures: Figures) -> list[str]:
    sets, lines = list(figures), []
    for score, title in _SCORES.items():
        lines += [f"| {title} | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
        lines += [
            f"| {method} | {' | '.join(with_interval(figures[name][method], score) for name in sets)} |"
            for method in _METHODS
        ]
        for baseline in ("answers_all", "random"):
            key = f"answers_wording_minus_{baseline}_{score}"
            cells = " | ".join(with_interval(own, key) for own in figures.values())
            lines.append(f"| answers_wording less {baseline} | {cells} |")
        lines.append("")
    return lines[:-1]


PART = Part(
    "clustering",
    {name: {"data": data_of(name), "clustering": {"describe": text}} for name, text in _DESCRIPTIONS.items()},
    _headline,
    _table,
)
