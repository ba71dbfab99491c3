"""Stage `select`: paths of question sets on one space, their nested and test scores, and the set that is chosen."""

from __future__ import annotations

from typing import Any

import pandas as pd
import yaml

from qaemb.encoding.recording import open_recordings
from qaemb.errors import require_name
from qaemb.features.space import read_space
from qaemb.files import atomic_folder, read_table, write_json, write_text
from qaemb.selection.curve import write_tables
from qaemb.selection.methods import METHODS
from qaemb.selection.nested import Selection, run_selection, standard_error
from qaemb.settings import Settings
from qaemb.tracking import RunRecord, Tracker, data_tags
from qaemb.workspace import Workspace


def select(settings: Settings, workspace: Workspace, space: str) -> None:
    """Write the paths, their curve, the order of entry and the chosen set of one space; log a run per point.

    BadParameter if the space is not listed, a size is impossible or there are fewer than three folds; BadInput if the
    stories are too few or no question is kept.
    """
    require_name(settings.select.spaces, space, "space", "select.spaces")
    features = read_space(workspace.features(space) / "features.parquet")
    stories = read_table(workspace.dataset / "stories.parquet")
    folder = workspace.dataset / "responses"
    recordings = open_recordings(settings.dataset.subjects, features, stories, settings.encode.delays, folder)
    selection = run_selection(settings, features, recordings)
    with atomic_folder(workspace.selection(space)) as results:
        curve = write_tables(results, selection, space)
    write_text(workspace.selected / f"{space}.yaml", _set_file(settings, space, selection))
    metrics = _metrics(selection, curve)
    write_json(workspace.metrics("select", space), metrics)
    _log(settings, workspace, space, curve, metrics)
    chosen, n_all = metrics["n_chosen"], len(features.names)
    print(f"select {space}: {chosen} of {n_all} questions by {metrics['method']}, nested r {metrics['cv_r']:.4f}")


def _set_file(settings: Settings, space: str, selection: Selection) -> str:
    chosen_set = selection.chosen_set
    how = METHODS[chosen_set.method].in_words(chosen_set, settings.select)
    content = {
        "set": f"selected_{space}",
        "description": f"{len(chosen_set.features)} of the {len(selection.names)} questions of {space}",
        "provenance": (
            f"{how} on all train stories of {settings.dataset.name}, "
            f"subjects {', '.join(settings.dataset.subjects)}; its size is the smallest within one standard error "
            f"of the best nested cross-validated score ({settings.encode.n_folds} folds of train stories, sets made "
            "anew without each); no test story had a part"
        ),
        "questions": [selection.names[i] for i in chosen_set.features],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _metrics(selection: Selection, curve: pd.DataFrame) -> dict[str, Any]:
    """Return method and sizes, nested r of the chosen set, and test r of each subject.

    Test r is that of the chosen set, of the controls of its size, and of the method's largest set.
    """
    chosen_set = selection.chosen_set
    method, size = chosen_set.method, chosen_set.size
    largest = max(subset.size for subset in selection.final)
    points = curve.set_index(["subject", "method", "n_questions"])
    test, cv, nested = points["r"], points["cv_r"], selection.mean_nested()[selection.chosen]
    subjects = {
        subject: {
            "r_chosen": float(test[subject, method, size]),
            "r_random": float(test[subject, "random", size]),
            "r_most_frequent": float(test[subject, "most_frequent", size]),
            "r_largest": float(test[subject, method, largest]),
            "cv_r": float(cv[subject, method, size]),
        }
        for subject in selection.scores
    }
    return {
        "method": method,
        "n_chosen": len(chosen_set.features),
        "n_largest": largest,
        "n_all": len(selection.names),
        "cv_r": float(nested.mean()),
        "cv_se": float(standard_error(nested[None])[0]),
        "subjects": subjects,
    }


def _log(settings: Settings, workspace: Workspace, space: str, curve: pd.DataFrame, metrics: dict[str, Any]) -> None:
    """Write one MLflow run per method and size, under the run of this selection, which holds the files."""
    inputs = [workspace.dataset, workspace.features(space)]
    tags = data_tags(workspace.root, inputs, [workspace.metrics("select", space)])
    shared = {"data_set": settings.dataset.name, "space": space, **_parameters(settings)}
    experiment = f"select {settings.dataset.name}"
    tracker = Tracker(workspace.mlruns)
    parent = tracker.parent_run(experiment, f"select {space}", space, shared, tags)
    records = []
    for (method, size), points in curve.groupby(["method", "n_questions"], sort=False):
        scores = {name: float(points[name].mean()) for name in ("r", "sd", "cv_r", "cv_se")}
        scores["n_questions"] = float(str(size))
        for row in points.to_dict("records"):
            scores |= {f"r_{row['subject']}": row["r"], f"cv_r_{row['subject']}": row["cv_r"]}
        records.append(RunRecord(f"{method} {size}", {**shared, "method": method}, scores, tags))
    tracker.log_runs(experiment, records, parent)
    totals = {key: value for key, value in metrics.items() if key not in ("subjects", "method")}
    folder = workspace.selection(space)
    files = [folder / "curve.png", folder / "curve.csv", folder / "entry.csv", workspace.selected / f"{space}.yaml"]
    tracker.add(parent, totals, files)


def _parameters(settings: Settings) -> dict[str, Any]:
    encode = settings.encode
    return {
        **settings.select.model_dump(exclude={"spaces"}),
        "protocol": encode.protocol,
        "delays": encode.delays,
        "alphas_log10": list(encode.alphas_log10),
        "n_folds": encode.n_folds,
    }
