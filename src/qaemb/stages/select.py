"""Stage `select`: a path of question subsets on one space, their scores, and the set chosen on the train stories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from qaemb.encoding.moments import Array
from qaemb.encoding.recording import Recording, open_recordings
from qaemb.errors import BadInput, BadParameter
from qaemb.features.space import Space, read_space
from qaemb.files import atomic_file, atomic_folder, read_table, write_json, write_table, write_text
from qaemb.selection.choose import one_standard_error
from qaemb.selection.curve import curve_table, draw_curve, path_table
from qaemb.selection.methods import METHODS, Subset
from qaemb.selection.problem import build_products
from qaemb.selection.scoring import SubsetScores, score_subsets
from qaemb.settings import Settings
from qaemb.tracking import RunRecord, Tracker, data_tags
from qaemb.workspace import Workspace


@dataclass(frozen=True)
class _Selection:
    """Subsets of a space and their scores per subject, path first, then controls.

    `folds` (path, folds) is r on held-out folds of train, mean over subjects; `chosen` is a position in `path`.
    """

    space: str
    names: list[str]
    path: list[Subset]
    controls: list[Subset]
    scores: dict[str, SubsetScores]
    folds: Array
    chosen: int


def select(settings: Settings, workspace: Workspace, space: str) -> None:
    """Write the path, its curve and the chosen set of one space of `select.spaces`; log a run per point.

    BadParameter if the space is not listed or a size is impossible; BadInput if the path keeps no question.
    """
    if space not in settings.select.spaces:
        raise BadParameter(f"no space `{space}` in select.spaces; there are: {', '.join(settings.select.spaces)}")
    features = read_space(workspace.features(space) / "features.parquet")
    stories = read_table(workspace.dataset / "stories.parquet")
    folder = workspace.dataset / "responses"
    recordings = open_recordings(settings.dataset.subjects, features, stories, settings.encode.delays, folder)
    selection = _run(settings, space, features, recordings)
    path = path_table(selection.path + selection.controls, selection.scores, selection.names)
    curve = curve_table(path)
    kept = selection.path[selection.chosen]
    with atomic_folder(workspace.selection(space)) as results:
        write_table(results / "path.parquet", path)
        with atomic_file(results / "curve.csv") as temporary:
            curve.to_csv(temporary, index=False)
        draw_curve(results / "curve.png", curve, f"{space}: questions chosen by elastic net", len(kept.features))
    write_text(workspace.selected / f"{space}.yaml", _set_file(settings, selection))
    metrics = _metrics(selection, curve)
    write_json(workspace.metrics("select", space), metrics)
    _log(settings, workspace, selection, curve, metrics)
    print(f"select {space}: {len(kept.features)} of {len(features.names)} questions, {len(path)} scores on the path")


def _run(settings: Settings, space: str, features: Space, recordings: Sequence[Recording]) -> _Selection:
    own = settings.select
    products = build_products(recordings, own, settings.encode)
    path = METHODS["elastic_net"](products, own, own.sizes)
    if not path:
        raise BadInput(f"no question of `{space}` is kept at any penalty; lower select.alpha_min_ratio")
    controls = METHODS["random"](products, own, [len(subset.features) for subset in path])
    # The same questions are scored once, whoever proposed them; the path comes first, as only it is chosen from.
    different = list(dict.fromkeys(subset.features for subset in path + controls))
    place = [different.index(subset.features) for subset in path + controls]
    scores = {}
    for recording in recordings:
        scored = score_subsets(recording, different, settings.encode, len(path))
        scores[recording.subject] = SubsetScores(scored.test[place], scored.folds[place])
    sizes = np.array([len(subset.features) for subset in path])
    folds = np.mean([own.folds[: len(path)] for own in scores.values()], axis=0)
    return _Selection(space, features.names, path, controls, scores, folds, one_standard_error(sizes, folds))


def _set_file(settings: Settings, selection: _Selection) -> str:
    kept = selection.path[selection.chosen]
    own = settings.select
    content = {
        "set": f"selected_{selection.space}",
        "description": f"{len(kept.features)} of the {len(selection.names)} questions of {selection.space}",
        "provenance": (
            f"multi-task elastic net (l1_ratio {own.l1_ratio}, alpha {kept.alpha:.4g}) on the train stories of "
            f"{settings.dataset.name}, subjects {', '.join(settings.dataset.subjects)}; smallest set within one "
            "standard error of the best cross-validated score"
        ),
        "questions": [selection.names[i] for i in kept.features],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _metrics(selection: _Selection, curve: pd.DataFrame) -> dict[str, Any]:
    """Return sizes, the chosen set's r inside train; per subject the test r of it, of chance, of the largest."""
    size = len(selection.path[selection.chosen].features)
    largest = len(selection.path[-1].features)
    r = curve.set_index(["subject", "method", "n_questions"])["r"]
    subjects = {
        subject: {
            "r_chosen": float(r[subject, "elastic_net", size]),
            "r_random": float(r[subject, "random", size]),
            "r_largest": float(r[subject, "elastic_net", largest]),
        }
        for subject in selection.scores
    }
    cv_r = float(selection.folds[selection.chosen].mean())
    return {"n_chosen": size, "n_largest": largest, "n_all": len(selection.names), "cv_r": cv_r, "subjects": subjects}


def _log(
    settings: Settings, workspace: Workspace, selection: _Selection, curve: pd.DataFrame, metrics: dict[str, Any]
) -> None:
    """Write one MLflow run per point of the path and per size of random subsets, under the run of this selection."""
    inputs = [workspace.dataset, workspace.features(selection.space)]
    tags = data_tags(workspace.root, inputs)
    shared = {"data_set": settings.dataset.name, "space": selection.space, **_parameters(settings)}
    experiment = f"select {settings.dataset.name}"
    tracker = Tracker(workspace.mlruns)
    parent = tracker.parent_run(experiment, f"select {selection.space}", selection.space, shared, tags)
    alphas = {len(subset.features): subset.alpha for subset in selection.path}
    cv = dict(zip(alphas, selection.folds.mean(axis=1), strict=True))
    records = []
    for (method, n_questions), points in curve.groupby(["method", "n_questions"], sort=False):
        size = int(str(n_questions))
        scores = {f"r_{row['subject']}": row["r"] for row in points.to_dict("records")}
        scores |= {"n_questions": size, "r": points["r"].mean(), "sd": points["sd"].mean()}
        chosen = {"alpha": alphas[size]} if method == "elastic_net" else {"n_random": settings.select.n_random}
        if method == "elastic_net":
            scores["cv_r"] = cv[size]
        records.append(RunRecord(f"{method} {size}", {**shared, "method": method, **chosen}, scores, tags))
    tracker.log_runs(experiment, records, parent)
    figure: Path = workspace.selection(selection.space) / "curve.png"
    totals = {key: value for key, value in metrics.items() if key != "subjects"}
    tracker.add(parent, totals, [figure, workspace.selected / f"{selection.space}.yaml"])


def _parameters(settings: Settings) -> dict[str, Any]:
    own, encode = settings.select, settings.encode
    return {
        "l1_ratio": own.l1_ratio,
        "n_pcs": own.n_pcs,
        "sizes": own.sizes,
        "n_alphas": own.n_alphas,
        "alpha_min_ratio": own.alpha_min_ratio,
        "seed": own.seed,
        "protocol": encode.protocol,
        "delays": encode.delays,
        "alphas_log10": list(encode.alphas_log10),
        "n_folds": encode.n_folds,
    }
