"""`qaemb compare A B`: two encoding models on the same test rows, per voxel, per subject, and over subjects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.arrays import Array, Integers
from qaemb.encoding.compare import Comparison, PairedBlock, compare_voxels, group_difference
from qaemb.encoding.recording import ResponseFile
from qaemb.encoding.results import read_predictions
from qaemb.encoding.scores import ALPHA
from qaemb.errors import BadInput, BadParameter
from qaemb.files import atomic_file, read_json, read_table
from qaemb.settings import Settings
from qaemb.workspace import Workspace

_SAME_R = 1e-4  # predictions are stored as float32; scores that differ by more come from other responses


@dataclass(frozen=True)
class _Model:
    """What `encode` left of one model: test rows by subject, the jackknife's block, r of each voxel by subject."""

    name: str
    folder: Path
    rows: Mapping[str, Mapping[str, int]]
    block_trs: int
    r: Mapping[str, Array]


def compare(settings: Settings, workspace: Workspace, a: str, b: str) -> None:
    """Print how model A differs from model B per subject and over subjects; write reports/compare/A_vs_B.csv.

    BadParameter if A is B; BadInput if one was not encoded, or the two were not scored on the same test rows, responses
    and blocks of the jackknife.
    """
    if a == b:
        raise BadParameter(f"`{a}` can't be compared with itself; name two models of encode.spaces")
    first, second = _read(workspace, a), _read(workspace, b)
    if first.block_trs != second.block_trs:
        raise BadInput(
            f"{first.folder} was fitted with encode.block_trs {first.block_trs}, {second.folder} with "
            f"{second.block_trs}, so their scores can't be paired; run `dvc repro encode`"
        )
    subjects = [subject for subject in first.rows if subject in second.rows]
    if not subjects:
        raise BadInput(f"{first.folder} and {second.folder} have no subject in common; run `dvc repro encode`")
    print(f"{a} minus {b}: mean r over voxels, with its 95 % interval; voxels that differ at q < {ALPHA}")
    tables, means = [], []
    for subject in subjects:
        voxels, comparison = _compare_subject(settings, workspace, (first, second), subject)
        tables.append(_table(subject, voxels, comparison))
        means.append(comparison.mean)
        print(f"  {subject}: {_in_words(comparison, a, b)}")
    for sentence in group_difference(means).claims(a, b):
        print(sentence)
    path = workspace.reports / "compare" / f"{a}_vs_{b}.csv"
    with atomic_file(path) as temporary:
        pd.concat(tables, ignore_index=True).to_csv(temporary, index=False)
    print(f"Voxel by voxel: {path}")


def _read(workspace: Workspace, name: str) -> _Model:
    folder = workspace.encoding(name)
    model = read_json(folder / "model.json")
    if model.get("protocol") == "paper":
        raise BadInput(
            f"{folder} was fitted under protocol `paper`, whose r is over all test rows at once; "
            f"set encode.protocol to strict and run `dvc repro encode@{name}`"
        )
    for key in ("test_rows", "block_trs"):
        if key not in model:
            raise BadInput(f"{folder / 'model.json'} has no `{key}`; run `dvc repro encode@{name}`")
    table = read_table(folder / "scores.parquet", ["subject", "voxel", "r"])
    r = {str(subject): rows["r"].to_numpy(np.float64) for subject, rows in table.groupby("subject", sort=False)}
    return _Model(name, folder, model["test_rows"], model["block_trs"], r)


def _compare_subject(
    settings: Settings, workspace: Workspace, models: tuple[_Model, _Model], subject: str
) -> tuple[Integers, Comparison]:
    """Return the voxels that both models have a score for, and the comparison over them."""
    responses = ResponseFile(workspace.dataset / "responses" / f"{subject}.h5")
    voxels = _shared_voxels(models, subject, responses)
    groups = np.array_split(voxels, -(-len(voxels) // settings.encode.voxel_block))
    n_rows = list(models[0].rows[subject].values())
    comparison = compare_voxels(_blocks(responses, models, subject, groups), n_rows, models[0].block_trs)
    for model, r in zip(models, (comparison.r_a, comparison.r_b), strict=True):
        if np.abs(r - model.r[subject][voxels]).max() > _SAME_R:
            raise BadInput(
                f"{model.folder}: predictions of {subject} don't give the r of scores.parquet, so the responses are "
                f"others now; run `dvc repro encode@{model.name}`"
            )
    return voxels, comparison


def _shared_voxels(models: tuple[_Model, _Model], subject: str, responses: ResponseFile) -> Integers:
    """Return the voxels with a score; BadInput unless models and responses are of the same test rows and voxels."""
    first, second = models
    rows, n_voxels = dict(first.rows[subject]), len(first.r[subject])
    a, b = (np.flatnonzero(np.isfinite(model.r[subject])) for model in models)
    if rows != dict(second.rows[subject]) or not np.array_equal(a, b):
        raise BadInput(
            f"{subject}: {first.folder} and {second.folder} were scored on other test rows or voxels; "
            "run `dvc repro encode`"
        )
    if rows != {story: responses.n_rows.get(story) for story in rows} or responses.n_voxels != n_voxels:
        raise BadInput(f"{responses.path} has other rows or voxels than {first.folder}; run `dvc repro encode`")
    return a


def _blocks(
    responses: ResponseFile, models: tuple[_Model, _Model], subject: str, groups: list[Integers]
) -> Iterator[PairedBlock]:
    """Yield what both models predict and what was measured, for each group of voxels (in ascending order)."""
    rows = models[0].rows[subject]
    edges = np.cumsum(list(rows.values()))[:-1]
    predictions = [read_predictions(model.folder, subject, rows) for model in models]
    for voxels in groups:
        span = slice(int(voxels[0]), int(voxels[-1]) + 1)
        columns = voxels - span.start
        a, b = (np.split(values[:, span][:, columns].astype(np.float64), edges) for values in predictions)
        yield PairedBlock(a, b, [responses.read(story, span)[:, columns] for story in rows])


def _table(subject: str, voxels: Integers, comparison: Comparison) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject": subject,
            "voxel": voxels,
            "r_a": comparison.r_a,
            "r_b": comparison.r_b,
            "difference": comparison.r_a - comparison.r_b,
            "low": comparison.voxels.low,
            "high": comparison.voxels.high,
            "p": comparison.voxels.p,
            "q": comparison.q,
        }
    )


def _in_words(comparison: Comparison, a: str, b: str) -> str:
    interval = comparison.mean_interval
    return (
        f"{comparison.mean:+.4f} ({interval.low:+.4f} to {interval.high:+.4f}, p {float(interval.p):.2g}); "
        f"{a} better in {comparison.n_a_better}, {b} in {comparison.n_b_better} of {len(comparison.r_a)} voxels"
    )
