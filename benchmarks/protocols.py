"""The tables of docs/protocols.md: what each difference between `strict` and `paper` does (`make bench-protocols`).

On real responses (profile `lebel_pcs`, two listeners): `strict` with one difference alone, and all of them one after
the other, until it is `paper`. The same on the voxels of `miniature`, which are planted, as `lebel_pcs` has components
only. And on responses of pure noise, where r should be 0. Runs in folders of its own.
Needs the data: environment variable QAEMB_LEBEL_PCS names its folder (docs/datasets.md says how to get it).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.protocol_variants import DIFFERENCES, PAPER, STRICT, Data, Score, Variant, evaluate, noise, read_data
from benchmarks.record import write_result
from qaemb.encoding.jackknife import confidence, paired_difference
from qaemb.files import write_text
from qaemb.profiles import use_profile
from qaemb.settings import Settings, load_settings
from qaemb.stages.features import features
from qaemb.stages.inputs import dataset, miniature, model, segments
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "protocols"
DOCS = ROOT / "docs" / "protocols.md"
_SUBJECTS = ("uts03", "uts01")
_PLANTED = ("UTS01", "UTS03")  # UTS02 lacks a train story
_SPACES = {"gpt4": "GPT-4's answers to 86 questions", "word_rate": "words and letters per TR"}
_ENDS_ONLY = {"embedding": "MiniLM, 384 dimensions"}
_NOISE = {"autocorrelated noise": 0.8, "drifts as long as a story": 0.99}  # AR(1) coefficient at a TR of 2 s
_N_NOISE = 1000
_BEFORE = {"scale of the test responses": "100 response components"}  # means nothing without components
_OTHER = "200 response components"
_BEGIN, _END = "<!-- protocols: begin -->", "<!-- protocols: end -->"

Scores = dict[str, dict[str, dict[str, Score]]]  # space -> variant -> subject


def main() -> None:
    """Build the spaces, score all variants; write benchmarks/results/protocols.json and docs/protocols.md's tables."""
    if not os.environ.get("QAEMB_LEBEL_PCS"):
        sys.exit("set QAEMB_LEBEL_PCS to the folder of lebel_pcs (docs/datasets.md says how to get it)")
    start = time.perf_counter()
    settings, workspace = _prepare_real()
    scores: Scores = {"miniature": _score(_planted(), _variants(every=True))}
    for space in (*_SPACES, *_ENDS_ONLY):
        data = read_data(workspace, space, _SUBJECTS, settings.encode)
        scores[space] = _score(data, _variants(space in _SPACES))
    leaks = _leaks(read_data(workspace, "gpt4", _SUBJECTS, settings.encode))
    seconds = time.perf_counter() - start
    figures = {"real": _plain(scores), "noise": leaks, "seconds": round(seconds, 1)}
    about = {"profile": settings.dataset.name, "strict": vars(STRICT), "paper": vars(PAPER), "n_noise": _N_NOISE}
    path = write_result("protocols", headline(scores), about, figures)
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    write_text(DOCS, f"{before}{_BEGIN}\n{tables(scores, leaks)}\n{_END}{after}")
    print(f"wrote {path} and {DOCS} in {seconds:.0f} s: {headline(scores)}")


def _prepare(profile: str) -> tuple[Settings, Workspace]:
    """Return settings of a profile and a new, empty workspace."""
    folder = WORK / profile
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    use_profile(folder / "params.yaml", ROOT / "data" / "profiles", profile)
    return load_settings(folder / "params.yaml"), Workspace(folder)


def _prepare_real() -> tuple[Settings, Workspace]:
    """Return settings and workspace of `lebel_pcs`, with data set and feature spaces."""
    settings, workspace = _prepare("lebel_pcs")
    dataset(settings, workspace)
    segments(settings, workspace, "tr")
    model(settings, workspace, "minilm")
    for space in (*_SPACES, *_ENDS_ONLY):
        features(settings, workspace, space)
    return settings, workspace


def _planted() -> Data:
    """Return the voxels of `miniature` and the gold answers that they were planted from."""
    settings, workspace = _prepare("miniature")
    shutil.copytree(ROOT / "data" / "miniature", workspace.root / "data" / "miniature")
    miniature(settings, workspace)
    dataset(settings, workspace)
    features(settings, workspace, "gold")
    return read_data(workspace, "gold", _PLANTED, settings.encode)


def _variants(every: bool) -> dict[str, Variant]:
    """Return name -> variant: the ends, and if asked each difference alone and all up to it."""
    variants = {"strict": STRICT, "paper": PAPER}
    if not every:
        return variants
    reached = STRICT
    for name, changes in DIFFERENCES.items():
        reached = reached.with_(changes)
        variants |= {f"alone: {name}": STRICT.with_(changes), f"up to: {name}": reached}
    return variants | {f"alone: {_OTHER}": STRICT.with_({"n_components": 200})}


def _score(data: Data, variants: dict[str, Variant]) -> dict[str, dict[str, Score]]:
    # Variants that share a design matrix and held-out sets stand together, as the plan of the last one is kept.
    order = sorted(variants, key=lambda name: variants[name].plan_key)
    found = {name: {subject: evaluate(data, subject, variants[name]) for subject in data.responses} for name in order}
    return {name: found[name] for name in variants}


def _leaks(data: Data) -> dict[str, dict[str, dict[str, float]]]:
    """Return kind of noise -> variant -> mean and sd of the test r, mean held-out r, over responses of pure noise."""
    variants = {"strict": STRICT, "paper": PAPER}
    variants |= {name: STRICT.with_(changes) for name, changes in DIFFERENCES.items()}
    order = sorted(variants, key=lambda name: variants[name].plan_key)
    return {kind: _on_noise(data, {name: variants[name] for name in order}, ar) for kind, ar in _NOISE.items()}


def _on_noise(data: Data, variants: dict[str, Variant], coefficient: float) -> dict[str, dict[str, float]]:
    silent = noise(data, coefficient, _N_NOISE, seed=0)
    found = {name: evaluate(silent, "noise", variant) for name, variant in variants.items()}
    return {
        name: {"test_r": own.mean, "sd": float(own.r.std()), "tuning_r": own.tuning_r} for name, own in found.items()
    }


def headline(scores: Scores) -> dict[str, float]:
    """Return mean r of the ends, by listener and space."""
    return {
        f"{subject}_{end}_{space}": round(scores[space][end][subject].mean, 4)
        for space in (*_SPACES, *_ENDS_ONLY)
        for subject in _SUBJECTS
        for end in ("strict", "paper")
    }


def _plain(scores: Scores) -> dict[str, Any]:
    return {
        space: {name: {subject: one.numbers() for subject, one in own.items()} for name, own in variants.items()}
        for space, variants in scores.items()
    }


def tables(scores: Scores, leaks: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the Markdown between the markers of docs/protocols.md."""
    lines = []
    for space, title in _SPACES.items():
        lines += [f"**{title}**, mean r over the 200 components of `lebel_pcs`:", "", *_ablation(scores[space]), ""]
    planted = "**Gold answers, planted voxels**, mean r over the voxels of `miniature` that hold no NaN:"
    lines += [planted, "", *_ablation(scores["miniature"]), ""]
    lines += ["| features | listener | `strict` | `paper` |", "|---|---|---|---|"]
    for space, title in (_SPACES | _ENDS_ONLY).items():
        for subject in _SUBJECTS:
            cells = (_with_interval(scores[space][end][subject]) for end in ("strict", "paper"))
            lines.append(f"| {title} | {subject} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_noise_table(leaks)])


def _ablation(own: dict[str, dict[str, Score]]) -> list[str]:
    subjects = list(own["strict"])
    first = " | ".join(f"{own['strict'][subject].mean:.4f}" for subject in subjects)
    head = " | ".join(f"alone, {subject}" for subject in subjects) + " | "
    head += " | ".join(f"up to here, {subject}" for subject in subjects)
    lines = [f"| difference | {head} |", "|---|---|---|---|---|", f"| `strict` | | | {first} |"]
    for name in DIFFERENCES:
        before = own[f"alone: {_BEFORE[name]}"] if name in _BEFORE else own["strict"]
        alone = " | ".join(_difference(own[f"alone: {name}"][s], before[s]) for s in subjects)
        reached = " | ".join(f"{own[f'up to: {name}'][subject].mean:.4f}" for subject in subjects)
        lines.append(f"| {name} | {alone} | {reached} |")
    alone = " | ".join(_difference(own[f"alone: {_OTHER}"][s], own["strict"][s]) for s in subjects)
    return [*lines, f"| ({_OTHER}, no part of `paper`) | {alone} | | |"]


def _noise_table(leaks: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    head = " | ".join(f"{kind}: test r (sd) | held-out r" for kind in leaks)
    lines = [f"| responses of noise | {head} |", "|---" * (1 + 2 * len(leaks)) + "|"]
    for name in ("strict", *DIFFERENCES, "paper"):
        cells = [
            f"{own[name]['test_r']:+.4f} ({own[name]['sd']:.3f}) | {own[name]['tuning_r']:+.4f}"
            for own in leaks.values()
        ]
        shown = f"`{name}`" if name in ("strict", "paper") else name
        lines.append(f"| {shown} | " + " | ".join(cells) + " |")
    return lines


def _difference(changed: Score, strict: Score) -> str:
    found = confidence(paired_difference(changed.jackknife, strict.jackknife))
    return f"{changed.mean - strict.mean:+.4f} ({float(found.low):+.4f} to {float(found.high):+.4f})"


def _with_interval(score: Score) -> str:
    found = confidence(score.jackknife)
    return f"{score.mean:.3f} ({float(found.low):.3f} to {float(found.high):.3f})"


if __name__ == "__main__":
    main()
