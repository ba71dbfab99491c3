"""Stage `encode`: one encoding model (one or more feature spaces joined), fitted and scored on every subject."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from qaemb.arrays import Array, Floats
from qaemb.encoding.fit import fit_voxels
from qaemb.encoding.metrics import SubjectScores, summarise
from qaemb.encoding.paper.fit import fit_paper, plan_paper
from qaemb.encoding.plan import FitPlan, plan_fit
from qaemb.encoding.recording import Recording, open_recordings
from qaemb.encoding.results import importance, scores_table, write_jackknives
from qaemb.encoding.scores import ALPHA
from qaemb.encoding.solvers import open_solver
from qaemb.errors import require_name
from qaemb.features.space import Space, join_spaces, read_space, zscore
from qaemb.files import atomic_file, atomic_folder, read_table, write_json, write_table
from qaemb.report.figures import draw_scores
from qaemb.settings import EncodeSettings, Settings
from qaemb.tracking import RunRecord, Tracker, data_tags
from qaemb.workspace import Workspace

_Plan = TypeVar("_Plan")
_Metrics = dict[str, dict[str, float | int | None]]
_CHOSEN_ON = {
    "strict": ["n_folds"],
    "reference": ["holdout"],
    "paper": ["n_components", "n_bootstraps", "chunk_trs", "n_chunks"],
}


def encode(settings: Settings, workspace: Workspace, name: str) -> None:
    """Fit and score the model `name` of `encode.spaces` on all subjects; write its folder and metrics, log its runs.

    BadParameter if the model is not in params.yaml; BadInput if features and responses don't belong together.
    """
    require_name(settings.encode.spaces, name, "model", "encode.spaces")
    space, recordings = _open(settings, workspace, name)
    with atomic_folder(workspace.encoding(name)) as folder:
        scores = _fit(settings, name, space, recordings, folder)
        _write(settings, name, space, scores, folder)
    metrics: _Metrics = {one.subject: summarise(one, settings.encode.protocol) for one in scores}
    write_json(workspace.metrics("encode", name), metrics)
    _log(settings, workspace, name, recordings, metrics)
    print(f"encode {name}")
    for subject, numbers in metrics.items():
        print(f"  {subject}: {_in_words(numbers, settings.encode.protocol)}")


def _open(settings: Settings, workspace: Workspace, name: str) -> tuple[Space, list[Recording]]:
    """Return the joined space of a model, and every subject's recording of it."""
    parts = settings.encode.spaces[name]
    spaces = [read_space(workspace.features(part) / "features.parquet") for part in parts]
    space = join_spaces(parts, spaces)
    scale = zscore
    if settings.encode.protocol == "paper":
        scale = partial(_scale_as_in_paper, space=space, settings=settings)
    stories, folder = read_table(workspace.dataset / "stories.parquet"), workspace.dataset / "responses"
    return space, open_recordings(settings.dataset.subjects, space, stories, settings.encode.delays, folder, scale)


def _scale_as_in_paper(values: Floats, space: Space, settings: Settings) -> Array:
    """Return z-scored features; the paper's mean over answerers is of z-scored answers and is not z-scored again."""
    scaled = []
    for part, columns in space.parts.items():
        in_part = values[:, columns]
        scaled.append(in_part.astype(np.float64) if settings.features.spaces[part].jobs else zscore(in_part))
    return np.hstack(scaled)


def _fit(settings: Settings, name: str, space: Space, recordings: list[Recording], folder: Path) -> list[SubjectScores]:
    """Return the scores of all subjects; write their weights and predictions to `folder`."""
    if settings.encode.protocol == "paper":
        make_paper_plan = _once_per_stories(lambda recording: plan_paper(recording, settings.encode))
        return [fit_paper(one, make_paper_plan(one), folder, settings.encode) for one in recordings]
    bands = _bands(settings, name, space)
    make_plan = _once_per_stories(lambda recording: plan_fit(recording, settings.encode, reduce=not bands))
    return [_fit_voxels(settings.encode, bands, one, make_plan(one), folder) for one in recordings]


def _fit_voxels(
    settings: EncodeSettings, bands: dict[str, int], recording: Recording, plan: FitPlan, folder: Path
) -> SubjectScores:
    scratch = folder / "products.npy"
    solver = open_solver(recording, plan, settings, list(bands.values()), scratch)
    scores = fit_voxels(recording, plan, settings, solver, folder)
    scratch.unlink(missing_ok=True)
    return scores


def _once_per_stories(make: Callable[[Recording], _Plan]) -> Callable[[Recording], _Plan]:
    """Return `make` with its results kept: subjects who heard the same stories share all but the responses."""
    plans: dict[tuple[str, ...], _Plan] = {}

    def plan(recording: Recording) -> _Plan:
        stories = tuple(recording.train)
        if stories not in plans:
            plans[stories] = make(recording)
        return plans[stories]

    return plan


def _bands(settings: Settings, name: str, space: Space) -> dict[str, int]:
    """Return the spaces that have a penalty each, and their numbers of features; nothing for plain ridge."""
    if name not in settings.encode.banded:
        return {}
    return {part: len(space.names[columns]) for part, columns in space.parts.items()}


def _write(settings: Settings, name: str, space: Space, scores: list[SubjectScores], folder: Path) -> None:
    write_table(
        folder / "scores.parquet",
        scores_table(scores, settings.dataset.test_stories, list(_bands(settings, name, space))),
    )
    ranked = []
    for one in scores:
        weights = np.load(folder / f"weights_{one.subject}.npy", mmap_mode="r")
        ranked.append(importance(one.subject, space.names, weights, one.r))
        draw_scores(folder / f"r_{one.subject}.png", f"{name}, {one.subject}", one.r, one.mean_ceiling)
    with atomic_file(folder / "importance.csv") as temporary:
        pd.concat(ranked).to_csv(temporary, index=False)
    components = [one.components.table(one.subject) for one in scores if one.components is not None]
    if components:
        write_table(folder / "components.parquet", pd.concat(components, ignore_index=True))
    write_jackknives(folder, {one.subject: one.mean for one in scores})
    about = {"name": name, "spaces": settings.encode.spaces[name], **_protocol(settings), "features": space.names}
    write_json(folder / "model.json", about | {"test_rows": {one.subject: one.rows for one in scores}})


def _in_words(numbers: dict[str, float | int | None], protocol: str) -> str:
    text = f"r {numbers['mean_r']:.4f}"
    if numbers["r_low"] is not None:
        text += f" ({numbers['r_low']:.4f} to {numbers['r_high']:.4f})"
    if protocol == "paper":
        best = f"top 1 % {numbers['mean_r_top_1_percent']:.3f}, top 5 % {numbers['mean_r_top_5_percent']:.3f}"
        return (
            f"{text}, {numbers['share_positive']:.3f} of the voxels above 0, {best}; `paper` has no ceiling and no test"
        )
    if numbers["n_significant"] is not None:
        text += f", {numbers['n_significant']} of {numbers['n_voxels']} voxels above chance (q < {ALPHA})"
    if numbers["mean_ceiling"] is None:
        return text + ", no noise ceiling: no test story has two or more repeats"
    if numbers["mean_cc_norm"] is None:
        return text + ", no voxel is reliable"
    return text + f", CC_norm {numbers['mean_cc_norm']:.3f} over {numbers['n_reliable']} reliable voxels"


def _protocol(settings: Settings) -> dict[str, Any]:
    """Return what models were fitted with, for model.json and MLflow."""
    encode = settings.encode
    return {
        "protocol": encode.protocol,
        "delays": encode.delays,
        "alphas_log10": list(encode.alphas_log10),
        **{key: getattr(encode, key) for key in _CHOSEN_ON[encode.protocol]},
        "engine": encode.engine,
        "precision": encode.precision,
        **({"backend": encode.backend} if encode.engine == "himalaya" else {}),
        "seed": encode.seed,
        "n_permutations": encode.n_permutations,
        "block_trs": encode.block_trs,
        "test_stories": settings.dataset.test_stories,
    }


def _log(settings: Settings, workspace: Workspace, name: str, recordings: list[Recording], metrics: _Metrics) -> None:
    """Write one MLflow run per subject under the run of this data set and protocol."""
    folder, spaces = workspace.encoding(name), settings.encode.spaces[name]
    inputs = [workspace.dataset, *(workspace.features(space) for space in spaces)]
    tags = data_tags(workspace.root, inputs, [workspace.metrics("encode", name)])
    shared = {"data_set": settings.dataset.name, **_protocol(settings)}
    records = [
        RunRecord(
            name=f"{name} {recording.subject}",
            params={
                **shared,
                "model": name,
                "spaces": "+".join(spaces),
                "penalties": "one a space" if name in settings.encode.banded else "one",
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
