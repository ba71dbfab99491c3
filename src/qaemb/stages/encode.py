"""Stage `encode`: one encoding model (one or more feature spaces joined), fitted and scored on every subject."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.encoding.fit import fit_blocks
from qaemb.encoding.jackknife import Jackknife
from qaemb.encoding.moments import Array
from qaemb.encoding.paper.fit import PaperPlan, plan_paper
from qaemb.encoding.paper.results import components_table, fit_paper, paper_summary, paper_table
from qaemb.encoding.plan import FitPlan, plan_fit
from qaemb.encoding.recording import Recording, ResponseFile, make_recording, open_recordings, zscore
from qaemb.encoding.results import collect, importance, scores_table, summarise, write_jackknives
from qaemb.encoding.scores import ALPHA
from qaemb.encoding.solvers import open_solver
from qaemb.errors import BadParameter
from qaemb.features.space import Space, join_spaces, read_space
from qaemb.files import atomic_file, atomic_folder, read_table, write_json, write_table
from qaemb.report.figures import draw_scores
from qaemb.settings import EncodeSettings, Settings
from qaemb.tracking import RunRecord, Tracker, data_tags
from qaemb.workspace import Workspace

_Numbers = dict[str, float | int | None]
_Metrics = dict[str, _Numbers]


@dataclass(frozen=True)
class _Outcome:
    """One subject's scores, whatever the protocol: rows of each test story, mean r, table and numbers.

    `components` is the table of the response components, of protocol `paper` alone.
    """

    subject: str
    rows: dict[str, int]
    mean: Jackknife
    table: pd.DataFrame
    numbers: _Numbers
    components: pd.DataFrame | None = None


def encode(settings: Settings, workspace: Workspace, name: str) -> None:
    """Fit and score the model `name` of `encode.spaces` on all subjects; write its folder and metrics, log its runs.

    BadParameter if the model is not in params.yaml; BadInput if features and responses don't belong together.
    """
    if name not in settings.encode.spaces:
        raise BadParameter(f"no model `{name}` in encode.spaces; there are: {', '.join(settings.encode.spaces)}")
    space, recordings = _open(settings, workspace, name)
    with atomic_folder(workspace.encoding(name)) as folder:
        outcomes = _fit(settings, _bands(settings, name, space), recordings, folder)
        metrics: _Metrics = {own.subject: own.numbers for own in outcomes}
        _write(settings, name, space, outcomes, folder)
    write_json(workspace.metrics("encode", name), metrics)
    _log(settings, workspace, name, recordings, metrics)
    print(f"encode {name}")
    for subject, numbers in metrics.items():
        print(f"  {subject}: {_in_words(numbers, settings.encode.protocol)}")


def _open(settings: Settings, workspace: Workspace, name: str) -> tuple[Space, list[Recording]]:
    """Return the joined space of a model, and every subject's recording of it."""
    parts = settings.encode.spaces[name]
    spaces = [read_space(workspace.features(part) / "features.parquet") for part in parts]
    stories = read_table(workspace.dataset / "stories.parquet")
    folder, delays = workspace.dataset / "responses", settings.encode.delays
    space = join_spaces(parts, spaces)
    if settings.encode.protocol != "paper":
        return space, open_recordings(settings.dataset.subjects, space, stories, delays, folder)
    # The paper's mean over answerers is of z-scored answers and is not z-scored again.
    scaled = [_as_in_paper(own, settings.features.spaces[part].jobs) for part, own in zip(parts, spaces, strict=True)]
    features = {story: np.hstack([own[story] for own in scaled]) for story in space.values}
    splits = dict(zip(stories["story"], stories["split"], strict=True))
    files = {subject: ResponseFile(folder / f"{subject}.h5") for subject in settings.dataset.subjects}
    return space, [make_recording(subject, features, splits, tuple(delays), own) for subject, own in files.items()]


def _as_in_paper(space: Space, jobs: list[str] | None) -> dict[str, Array]:
    return {story: own.astype(np.float64) if jobs else zscore(own) for story, own in space.values.items()}


def _bands(settings: Settings, name: str, space: Space) -> dict[str, int]:
    """Return the spaces that have a penalty each, and their numbers of features; nothing for plain ridge."""
    if name not in settings.encode.banded:
        return {}
    return {part: sum(own.startswith(f"{part}:") for own in space.names) for part in settings.encode.spaces[name]}


def _fit(settings: Settings, bands: dict[str, int], recordings: list[Recording], folder: Path) -> list[_Outcome]:
    plans: dict[tuple[str, ...], Any] = {}  # subjects who heard the same stories share everything but the responses
    if settings.encode.protocol == "paper":
        return [_fit_paper(settings, recording, plans, folder) for recording in recordings]
    return [_fit_voxels(settings, bands, recording, plans, folder) for recording in recordings]


def _fit_voxels(
    settings: Settings,
    bands: dict[str, int],
    recording: Recording,
    plans: dict[tuple[str, ...], FitPlan],
    folder: Path,
) -> _Outcome:
    encode, heard = settings.encode, tuple(recording.train)
    if heard not in plans:
        plans[heard] = plan_fit(recording, encode, reduce=not bands)
    scratch = folder / "products.npy"
    solver = open_solver(recording, plans[heard], encode, list(bands.values()), scratch)
    own = collect(recording, fit_blocks(recording, plans[heard], encode, solver), folder, encode)
    scratch.unlink(missing_ok=True)
    table = scores_table(own, settings.dataset.test_stories, list(bands))
    return _Outcome(own.subject, own.rows, own.mean, table, summarise(own))


def _fit_paper(
    settings: Settings, recording: Recording, plans: dict[tuple[str, ...], PaperPlan], folder: Path
) -> _Outcome:
    heard = tuple(recording.train)
    if heard not in plans:
        plans[heard] = plan_paper(recording, settings.encode)
    own = fit_paper(recording, plans[heard], folder, settings.encode)
    table = paper_table(own, settings.dataset.test_stories)
    return _Outcome(own.subject, own.rows, own.mean, table, paper_summary(own), components_table(own))


def _write(settings: Settings, name: str, space: Space, outcomes: list[_Outcome], folder: Path) -> None:
    stories = settings.dataset.test_stories
    # A story without repeats has no ceiling column, as `scores.parquet` says.
    table = pd.concat([own.table for own in outcomes], ignore_index=True).pipe(_without_empty_ceilings, stories)
    write_table(folder / "scores.parquet", table)
    ranked = []
    for own in outcomes:
        weights = np.load(folder / f"weights_{own.subject}.npy", mmap_mode="r")
        ranked.append(importance(own.subject, space.names, weights, own.table["r"].to_numpy()))
        draw_scores(folder / f"r_{own.subject}.png", f"{name}, {own.subject}", *_r_and_ceiling(own.table))
    with atomic_file(folder / "importance.csv") as temporary:
        pd.concat(ranked).to_csv(temporary, index=False)
    components = [own.components for own in outcomes if own.components is not None]
    if components:
        write_table(folder / "components.parquet", pd.concat(components, ignore_index=True))
    write_jackknives(folder, {own.subject: own.mean for own in outcomes})
    about = {"name": name, "spaces": settings.encode.spaces[name], **_protocol(settings), "features": space.names}
    write_json(folder / "model.json", about | {"test_rows": {own.subject: own.rows for own in outcomes}})


def _in_words(numbers: _Numbers, protocol: str) -> str:
    said = f"r {numbers['mean_r']:.4f}"
    if numbers["r_low"] is not None:
        said += f" ({numbers['r_low']:.4f} to {numbers['r_high']:.4f})"
    if protocol == "paper":
        best = f"top 1 % {numbers['mean_r_top_1_percent']:.3f}, top 5 % {numbers['mean_r_top_5_percent']:.3f}"
        return (
            f"{said}, {numbers['share_positive']:.3f} of the voxels above 0, {best}; `paper` has no ceiling and no test"
        )
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
    ceilings = [name for name in (f"ceiling_{story}" for story in stories) if name in table]
    return table.drop(columns=[name for name in ceilings if table[name].isna().all()])


def _protocol(settings: Settings) -> dict[str, Any]:
    own = settings.encode
    chosen_on = {
        "strict": ["n_folds"],
        "reference": ["holdout"],
        "paper": ["n_components", "n_bootstraps", "chunk_trs", "n_chunks"],
    }
    choice = {key: getattr(own, key) for key in chosen_on[own.protocol]}
    return {
        "protocol": own.protocol,
        "delays": own.delays,
        "alphas_log10": list(own.alphas_log10),
        **choice,
        **_solver(own),
        "seed": own.seed,
        "n_permutations": own.n_permutations,
        "block_trs": own.block_trs,
        "test_stories": settings.dataset.test_stories,
    }


def _solver(own: EncodeSettings) -> dict[str, Any]:
    said: dict[str, Any] = {"engine": own.engine, "precision": own.precision}
    return said | ({"backend": own.backend} if own.engine == "himalaya" else {})


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
