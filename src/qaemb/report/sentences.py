"""What the numbers mean, in plain sentences that are made from the findings alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qaemb.encoding.scores import ALPHA
from qaemb.report.data import Findings, Interpretation, JobFacts, Selection

# Bands for the mean AUC over questions; 0.5 is a coin.
_AT_CHANCE, _WEAK, _FAIR = 0.55, 0.65, 0.80
_READABLE = ("qa", "published")


def sentences(findings: Findings) -> list[str]:
    """Return the sentences of the section "What this means", the most important first."""
    lines = [*_graded(findings), _best(findings), _upper_bound(findings), _readable(findings)]
    lines += [_adding(interpretation) for interpretation in findings.interpretations]
    lines += [_selected(selection) for selection in findings.selections]
    return [line for line in lines if line]


def needs_real_model(findings: Findings) -> bool:
    """Return whether a graded answerer answers at chance, so that the page should say how to switch to a real model."""
    return any(job.mean_auc is not None and job.mean_auc < _AT_CHANCE for job in findings.jobs)


def grade_in_words(auc: float) -> str:
    """Return what a mean AUC over questions says of an answerer.

    >>> grade_in_words(0.51)
    'answers at chance'
    """
    if auc < _AT_CHANCE:
        return "answers at chance"
    if auc < _WEAK:
        return "answers a little better than chance"
    return "answers clearly better than chance, with many errors" if auc < _FAIR else "answers well"


def _graded(findings: Findings) -> list[str]:
    """Return a sentence per answerer, on the job in which most of its questions were graded."""
    fullest: dict[str, JobFacts] = {}
    for job in sorted(findings.jobs, key=lambda job: job.n_graded):
        fullest[job.answerer] = job
    return [_grade(job) for job in fullest.values() if job.n_graded]


def _grade(job: JobFacts) -> str:
    auc = job.mean_auc or 0.0
    line = f"{job.answerer} {grade_in_words(auc)} (mean AUC {auc:.2f} over {job.n_graded} questions with gold answers)"
    if auc < _AT_CHANCE:
        return line + ": treat its features as a demonstration of the pipeline, not as a measurement."
    return line + "."


def _best(findings: Findings) -> str:
    scores = findings.scores.dropna(subset=["mean_r"])
    if scores.empty:
        return ""
    means = scores.groupby("model", sort=False)["mean_r"].mean().sort_values(ascending=False)
    best = str(means.index[0])
    share = scores.loc[scores["model"] == best, "share_of_ceiling"].mean()
    ceiling = f", {share:.0%} of what the noise in the responses allows" if np.isfinite(share) else ""
    count = scores["subject"].nunique()
    over = "the subject" if count == 1 else f"{count} subjects"
    return f"The best encoding model is {best}: mean r {means.iloc[0]:.3f} over {over}{ceiling}."


def _upper_bound(findings: Findings) -> str:
    gold, rate = findings.of_kind("gold"), findings.of_kind("word_rate")
    if not gold or not rate:
        return ""
    wins, total = _wins(findings.scores, gold[0], rate[0])
    if wins == total:
        return (
            f"The gold annotations, the upper bound for any answerer, beat {rate[0]} on {_all(total)}: "
            "the chain from text to responses works."
        )
    return (
        f"The gold annotations beat {rate[0]} on only {wins} of {total} subjects: "
        "something in the data or the timing is wrong, look there first."
    )


def _readable(findings: Findings) -> str:
    readable = [model for kind in _READABLE for model in findings.of_kind(kind)]
    black_box = findings.of_kind("embedding")
    if not readable or not black_box:
        return ""
    best = max(readable, key=lambda model: findings.mean_r(model) or -np.inf)
    ours, theirs = findings.mean_r(best), findings.mean_r(black_box[0])
    if ours is None or theirs is None or theirs <= 0:
        return ""
    return (
        f"The best features that can be read, {best}, reach mean r {ours:.3f}: "
        f"{ours / theirs:.0%} of {black_box[0]} ({theirs:.3f}), whose features have no names."
    )


def _adding(interpretation: Interpretation) -> str:
    questions = interpretation.questions
    adding = (questions["unique_r_q"] < ALPHA) & (questions["unique_r"] > 0)
    counts = adding.groupby(questions["subject"], sort=False).sum()
    means = questions.groupby("question", sort=False)["unique_r"].mean()
    span = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    return (
        f"In {interpretation.model}, {span} of {len(means)} questions add to r what the others cannot, by subject "
        f"(q < {ALPHA}); most adds {means.idxmax()}, {means.max():.4f} on average."
    )


def _selected(selection: Selection) -> str:
    first = selection.curve["method"].head(1)  # the method that the set was chosen by
    path = selection.curve[selection.curve["method"].isin(first)].dropna(subset=["r"]).sort_values("n_questions")
    if path.empty:
        return ""
    largest = path.iloc[-1]
    at_size = path[path["n_questions"] == len(selection.question_names)]
    if at_size.empty:
        return ""
    size, r = len(selection.question_names), at_size.iloc[0]["r"]
    line = (
        f"On {selection.space}, the {size} questions chosen on train stories score r {r:.3f} on test stories; "
        f"the largest set on the path, {largest['n_questions']:.0f} questions, scores {largest['r']:.3f}"
    )
    chance = _at_size(selection.curve, size)
    return line + (f"; {size} questions at random {chance:.3f}." if chance is not None else ".")


def _at_size(curve: pd.DataFrame, size: float) -> float | None:
    random = curve[curve["method"] == "random"].dropna(subset=["r"]).sort_values("n_questions")
    if random.empty or not random["n_questions"].min() <= size <= random["n_questions"].max():
        return None
    return float(np.interp(size, random["n_questions"], random["r"]))


def _wins(scores: pd.DataFrame, ours: str, theirs: str) -> tuple[int, int]:
    table = scores.pivot_table(index="subject", columns="model", values="mean_r")[[ours, theirs]].dropna()
    return int((table[ours] > table[theirs]).sum()), len(table)


def _all(count: int) -> str:
    return "the one subject" if count == 1 else f"all {count} subjects"
