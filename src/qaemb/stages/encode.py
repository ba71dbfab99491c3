"""Stage `encode`: one encoding model (one or more feature spaces joined), fitted and scored on every subject."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.encoding.figures import draw_scores
from qaemb.encoding.fit import FitPlan, fit_blocks, plan_fit
from qaemb.encoding.importance import importance
from qaemb.encoding.moments import Array
from qaemb.encoding.recording import Recording, open_recordings
from qaemb.encoding.results import SubjectScores, collect, scores_table, summarise, write_jackknives
from qaemb.encoding.significance import ALPHA
from qaemb.errors import BadParameter
from qaemb.features.space import Space, join_spaces, read_space
from qaemb.files import atomic_file, atomic_folder, read_table, write_json, write_table
from qaemb.settings import Settings
from qaemb.tracking import RunRecord, Tracker, data_tags
from qaemb.workspace import Workspace

_Metrics = dict[str, dict[str, float | int | None]]


def encode(settings: Settings, workspace: Workspace, name: str) -> None:
    """Fit and score the model `name` of `encode.spaces` on all subjects; write its folder and metrics, log its runs.

    BadParameter if the model is not in params.yaml; BadInput if features and responses don't belong together.
    """
    if name not in settings.encode.spaces:
        raise BadParameter(f"no model `{name}` in encode.spaces; there are: {', '.join(settings.encode.spaces)}")
    parts = settings.encode.spaces[name]
    space = join_spaces(parts, [read_space(workspace.features(part) / "features.parquet") for part in parts])
    stories = read_table(workspace.dataset / "stories.parquet")
    folder = workspace.dataset / "responses"
    recordings = open_recordings(settings.dataset.subjects, space, stories, settings.encode.delays, folder)
    with atomic_folder(workspace.encoding(name)) as folder:
        scores = _fit(settings, recordings, folder)
        metrics: _Metrics = {own.subject: summarise(own) for own in scores}
        _write(settings, name, space, scores, folder)
    write_json(workspace.metrics("encode", name), metrics)
    _log(settings, workspace, name, recordings, metrics)
    print(f"encode {name}")
    for subject, numbers in metrics.items():
        print(f"  {subject}: {_in_words(numbers)}")


def _fit(settings: Settings, recordings: list[Recording], folder: Path) -> list[SubjectScores]:
    plans: dict[tuple[str, ...], FitPlan] = {}
    scores = []
    for recording in recordings:
        heard = tuple(recording.train)  # subjects who heard the same stories share everything but the responses
        if heard not in plans:
            plans[heard] = plan_fit(recording, settings.encode)
        fits = fit_blocks(recording, plans[heard], settings.encode)
        scores.append(collect(recording, fits, folder, settings.encode))
    return scores


def _write(settings: Settings, name: str, space: Space, scores: list[SubjectScores], folder: Path) -> None:
    stories = settings.dataset.test_stories
    tables = [scores_table(own, stories) for own in scores]
    # A story without repeats has no ceiling column, as `scores.parquet` says.
    write_table(folder / "scores.parquet", pd.concat(tables, ignore_index=True).pipe(_without_empty_ceilings, stories))
    ranked = []
    for own, table in zip(scores, tables, strict=True):
        weights = np.load(folder / f"weights_{own.subject}.npy", mmap_mode="r")
        ranked.append(importance(own.subject, space.names, weights, table["r"].to_numpy()))
        draw_scores(folder / f"r_{own.subject}.png", f"{name}, {own.subject}", *_r_and_ceiling(table))
    with atomic_file(folder / "importance.csv") as temporary:
        pd.concat(ranked).to_csv(temporary, index=False)
    write_jackknives(folder, {own.subject: own.mean for own in scores})
    about = {"name": name, "spaces": settings.encode.spaces[name], **_protocol(settings), "features": space.names}
    write_json(folder / "model.json", about | {"test_rows": {own.subject: own.rows for own in scores}})


def _in_words(numbers: dict[str, float | int | None]) -> str:
    said = f"r {numbers['mean_r']:.4f}"
    if numbers["r_low"] is not None:
        said += f" ({numbers['r_low']:.4f} to {numbers['r_high']:.4f})"
    if numbers["n_significant"] is not None:
        said += f", {numbers['n_significant']} of {numbers['n_voxels']} voxels above chance (q < {ALPHA})"
    if numbers["mean_ceiling"] is None:
        return said + ", no noise ceiling: no test story has two or more repeats"
    if numbers["mean_cc_norm"] is None:
        return said + ", no voxel is reliable"
    return said + f", CC_norm {numbers['mean_cc_norm']:.3f} over {numbers['n_reliable']} reliable voxels"


def _r_and_ceiling(table: pd.DataFrame) -> tuple[Array, Array]:
    return table["r"].to_numpy(np.float64), table["ceiling"].to_numpy(np.float64)


def _without_empty_ceilings(table: pd.DataFrame, stories: list[str]) -> pd.DataFrame:
    empty = [f"ceiling_{story}" for story in stories if table[f"ceiling_{story}"].isna().all()]
    return table.drop(columns=empty)


def _protocol(settings: Settings) -> dict[str, Any]:
    own = settings.encode
    choice = {"n_folds": own.n_folds} if own.protocol == "strict" else {"holdout": own.holdout}
    return {
        "protocol": own.protocol,
        "delays": own.delays,
        "alphas_log10": list(own.alphas_log10),
        **choice,
        "seed": own.seed,
        "n_permutations": own.n_permutations,
        "block_trs": own.block_trs,
        "test_stories": settings.dataset.test_stories,
    }


def _log(settings: Settings, workspace: Workspace, name: str, recordings: list[Recording], metrics: _Metrics) -> None:
    """Write one MLflow run per subject under the run of this data set and protocol."""
    folder, spaces = workspace.encoding(name), settings.encode.spaces[name]
    inputs = [workspace.dataset, workspace.dataset / "responses", *(workspace.features(space) for space in spaces)]
    tags = data_tags(workspace.root, inputs)
    shared = {"data_set": settings.dataset.name, **_protocol(settings)}
    records = [
        RunRecord(
            name=f"{name} {recording.subject}",
            params={
                **shared,
                "model": name,
                "spaces": "+".join(spaces),
                "subject": recording.subject,
                "n_features": recording.n_features,
                "n_train_stories": len(recording.train),
            },
            metrics={key: value for key, value in metrics[recording.subject].items() if value is not None},
            tags=tags,
            files=(folder / f"r_{recording.subject}.png", folder / "model.json"),
        )
        for recording in recordings
    ]
    tracker = Tracker(workspace.mlruns)
    experiment = f"encode {settings.dataset.name}"
    parent = tracker.parent_run(experiment, experiment, f"protocol {settings.encode.protocol}", shared, {})
    tracker.log_runs(experiment, records, parent)
