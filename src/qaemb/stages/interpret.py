"""Stage `interpret`: which questions drive an encoding model's voxels, what each adds, which say the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.encoding.interpretation import ALL, FeatureSet, SubjectMeaning, Task, Voxels, interpret_subject
from qaemb.encoding.recording import Recording, open_recordings, zscore
from qaemb.encoding.redundancy import Redundancy, cluster_table, correlations, find_redundancy
from qaemb.encoding.scores import ALPHA
from qaemb.encoding.stability import ResamplePlan, plan_resamples
from qaemb.errors import BadInput, BadParameter
from qaemb.features.space import Space, join_spaces, read_space
from qaemb.files import atomic_file, atomic_folder, read_json, read_table, write_json, write_table
from qaemb.report.brain import cortex_figure
from qaemb.report.figures import bars_figure, file_name, redundancy_figure
from qaemb.settings import Settings
from qaemb.tracking import RunRecord, Tracker, data_tags
from qaemb.workspace import Workspace


@dataclass(frozen=True)
class _Model:
    """A model of encode.spaces: its features, their redundancy, what is left out together, and its scores."""

    name: str
    space: Space
    redundancy: Redundancy
    sets: list[FeatureSet]
    scores: pd.DataFrame


def interpret(settings: Settings, workspace: Workspace, name: str) -> None:
    """Write what the fitted model `name` of `interpret.models` means; log a run per subject.

    BadParameter if the model is not listed or not fitted by one penalty a voxel; BadInput if it was not fitted, or
    fitted on other features or responses.
    """
    _require_plain_ridge(settings, name)
    model = _open(settings, workspace, name)
    stories = read_table(workspace.dataset / "stories.parquet")
    places = _places(workspace)
    responses, delays = workspace.dataset / "responses", settings.encode.delays
    recordings = open_recordings(settings.dataset.subjects, model.space, stories, delays, responses)
    with atomic_folder(workspace.interpretation(name)) as folder:
        found = _interpret(settings, model, recordings, places, folder)
        _write(model, found, places, folder)
        _draw(settings, model, found, places, folder)
    metrics = {subject: _summarise(own) for subject, own in found.items()}
    write_json(workspace.metrics("interpret", name), metrics)
    _log(settings, workspace, model, metrics)
    print(f"interpret {name}: {len(model.space.names)} features in {int(model.redundancy.cluster.max())} clusters")
    for subject, own in found.items():
        print(f"  {subject}: {_in_words(own.questions)}")


def _require_plain_ridge(settings: Settings, name: str) -> None:
    if name not in settings.interpret.models:
        known = ", ".join(settings.interpret.models) or "none"
        raise BadParameter(f"no model `{name}` in interpret.models; there are: {known}")
    if name not in settings.encode.spaces:
        known = ", ".join(settings.encode.spaces)
        raise BadParameter(f"interpret.models: `{name}` is not in encode.spaces ({known}); correct the name")
    if name in settings.encode.banded or settings.encode.protocol == "paper":
        raise BadParameter(
            f"interpret.models: `{name}` has no single penalty per voxel; only models of protocol strict or reference "
            "that are not in encode.banded can be interpreted: take it out of interpret.models"
        )


def _open(settings: Settings, workspace: Workspace, name: str) -> _Model:
    """Return the model, checked against what `encode` says it was fitted on."""
    parts = settings.encode.spaces[name]
    space = join_spaces(parts, [read_space(workspace.features(part) / "features.parquet") for part in parts])
    path = workspace.encoding(name) / "model.json"
    fitted = read_json(path)
    ours: dict[str, Any] = {"spaces": parts, "features": space.names, "protocol": settings.encode.protocol}
    ours |= {"delays": settings.encode.delays, "block_trs": settings.encode.block_trs}
    for key, value in ours.items():
        if fitted.get(key) != value:
            raise BadInput(f"{path} was fitted with other `{key}` than there are now; run `dvc repro encode@{name}`")
    splits = read_table(workspace.dataset / "stories.parquet").set_index("story")["split"]
    train = [zscore(values) for story, values in space.values.items() if splits.get(story) == "train"]
    redundancy = find_redundancy(space.names, correlations(train), settings.interpret.cluster_r)
    scores = read_table(workspace.encoding(name) / "scores.parquet", ["subject", "voxel", "r", "alpha"])
    return _Model(name, space, redundancy, _sets(parts, space, redundancy), scores)


def _sets(parts: list[str], space: Space, redundancy: Redundancy) -> list[FeatureSet]:
    """Return what is left out: every question, clusters of two or more, and the spaces of a joined model."""
    sets = [FeatureSet("question", name, (number,)) for number, name in enumerate(space.names)]
    for members in redundancy.members():
        if len(members) > 1:
            sets.append(FeatureSet("cluster", space.names[redundancy.representative(members)], tuple(members)))
    if len(parts) > 1:
        for part in parts:
            own = tuple(i for i, name in enumerate(space.names) if name.startswith(f"{part}:"))
            sets.append(FeatureSet("space", part, own))
    return sets


def _places(workspace: Workspace) -> pd.DataFrame:
    """Return subject, voxel, hemi, vertex, region where the data set knows them; else no row."""
    path = workspace.dataset / "voxels.parquet"
    columns = ["subject", "voxel", "hemi", "vertex", "region"]
    return read_table(path, columns) if path.exists() else pd.DataFrame(columns=columns)


def _interpret(
    settings: Settings, model: _Model, recordings: list[Recording], places: pd.DataFrame, folder: Path
) -> dict[str, SubjectMeaning]:
    plans: dict[tuple[str, ...], ResamplePlan] = {}  # of the features alone: shared by who heard the same stories
    found = {}
    own = settings.interpret
    for recording in recordings:
        heard = tuple(recording.train)
        if heard not in plans:
            plans[heard] = plan_resamples(recording, own.n_groups, own.seed)
        voxels = _voxels(recording, model.scores, places)
        task = Task(recording, plans[heard], model.space.names, model.sets, own, settings.encode.block_trs)
        found[recording.subject] = interpret_subject(task, voxels, folder)
    return found


def _voxels(recording: Recording, scores: pd.DataFrame, places: pd.DataFrame) -> Voxels:
    own = scores[scores["subject"] == recording.subject].sort_values("voxel")
    if own["voxel"].tolist() != list(range(recording.responses.n_voxels)) or own["r"].isna().all():
        raise BadInput(
            f"{recording.subject} has other voxels in its responses than in scores.parquet; run `dvc repro encode`"
        )
    alpha, r = own["alpha"].to_numpy(np.float64), own["r"].to_numpy(np.float64)
    scored = np.isfinite(alpha)
    scopes = {ALL: scored}
    of_subject = places[places["subject"] == recording.subject]
    for region, voxels in of_subject.groupby("region")["voxel"]:
        inside = scored & np.isin(np.arange(len(alpha)), voxels.to_numpy())
        if inside.any():
            scopes[str(region)] = inside
    return Voxels(alpha, r, list(scopes), np.column_stack(list(scopes.values())))


def _write(model: _Model, found: Mapping[str, SubjectMeaning], places: pd.DataFrame, folder: Path) -> None:
    questions = pd.concat([own.questions for own in found.values()], ignore_index=True)
    sets = pd.concat([own.sets for own in found.values()], ignore_index=True)
    top = pd.concat([own.top for own in found.values()], ignore_index=True)
    clusters = cluster_table(model.redundancy)
    for name, table in {"questions.csv": questions, "sets.csv": sets, "clusters.csv": clusters}.items():
        with atomic_file(folder / name) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    write_table(folder / "top.parquet", top.merge(places, on=["subject", "voxel"], how="left"))
    names, r = model.redundancy.names, model.redundancy.r.astype(np.float32)
    write_table(folder / "redundancy.parquet", pd.DataFrame(r, columns=names))


def _draw(
    settings: Settings, model: _Model, found: Mapping[str, SubjectMeaning], places: pd.DataFrame, folder: Path
) -> None:
    """Write the figures: bars of every subject, the redundancy map, and the questions that add most on the cortex."""
    order = model.redundancy.order
    r = model.redundancy.r[np.ix_(order, order)]
    drawn = {"redundancy.png": redundancy_figure(f"{model.name}: redundancy", r, cluster_table(model.redundancy))}
    n = settings.report.n_top_questions
    for subject, own in found.items():
        table = own.questions[own.questions["scope"] == ALL]
        title = f"{model.name}, {subject}"
        drawn[f"unique_{subject}.png"] = bars_figure(title, table, "unique_r", n)
        drawn[f"importance_{subject}.png"] = bars_figure(title, table, "importance", n)
        where = places[places["subject"] == subject]
        best = table.nlargest(settings.interpret.n_maps if len(where) else 0, "unique_r")
        weights = np.load(folder / f"weight_{subject}.npy", mmap_mode="r")
        for question in best["question"]:
            values = weights[model.space.names.index(question)].astype(np.float64)
            limit = max(float(np.nanpercentile(np.abs(values), 99)), float(np.finfo(np.float32).tiny))
            map_title = f"{model.name}, {subject}: weight of {question}"
            drawn[file_name("map", subject, question)] = cortex_figure(map_title, where, values, limit, "weight")
    for name, content in drawn.items():
        (folder / name).write_bytes(content)


def _summarise(own: SubjectMeaning) -> dict[str, float | int]:
    """Return the numbers of one subject for `dvc metrics`, over all of its voxels with a score."""
    table = own.questions[own.questions["scope"] == ALL]
    adding = table[(table["unique_r_q"] < ALPHA) & (table["unique_r"] > 0)]
    return {
        "n_questions": len(table),
        "n_adding": len(adding),
        "largest_unique_r": float(table["unique_r"].max()),
        "largest_unique_share": float(table["unique_share"].max()),
        "n_replicated": int((table["importance_low"] > 0).sum()),
        "mean_same_sign": float(table["same_sign"].mean()),
    }


def _in_words(table: pd.DataFrame) -> str:
    own = table[table["scope"] == ALL]
    best = own.nlargest(1, "unique_r").iloc[0]
    adding = int(((own["unique_r_q"] < ALPHA) & (own["unique_r"] > 0)).sum())
    return (
        f"{adding} of {len(own)} questions add to r what the others cannot (q < {ALPHA}); most adds "
        f"{best['question']}: {best['unique_r']:+.4f} ({best['unique_r_low']:+.4f} to {best['unique_r_high']:+.4f})"
    )


def _log(settings: Settings, workspace: Workspace, model: _Model, metrics: Mapping[str, dict[str, Any]]) -> None:
    """Write one MLflow run per subject, with tables and figures, under the run of this model."""
    folder = workspace.interpretation(model.name)
    parts = settings.encode.spaces[model.name]
    inputs = [workspace.dataset, workspace.encoding(model.name), *(workspace.features(part) for part in parts)]
    tags = data_tags(workspace.root, inputs, [workspace.metrics("interpret", model.name)])
    shared = {"data_set": settings.dataset.name, "model": model.name, "protocol": settings.encode.protocol}
    shared |= settings.interpret.model_dump(exclude={"models"})
    tables = [folder / name for name in ("questions.csv", "sets.csv", "clusters.csv", "redundancy.png")]
    records = []
    for subject, numbers in metrics.items():
        figures = sorted(
            path for kind in ("unique", "importance", "map") for path in folder.glob(f"{kind}_{subject}*.png")
        )
        files = (*tables, *figures)
        records.append(RunRecord(f"{model.name} {subject}", {**shared, "subject": subject}, numbers, tags, files))
    tracker = Tracker(workspace.mlruns)
    experiment = f"interpret {settings.dataset.name}"
    parent = tracker.parent_run(experiment, f"interpret {model.name}", model.name, shared, {})
    tracker.log_runs(experiment, records, parent)
