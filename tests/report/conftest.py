"""A small project as the stages leave it: files in the shape of the contract, with numbers that tests can predict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.encoding.jackknife import Jackknife
from qaemb.encoding.results import write_jackknives
from qaemb.settings import Settings
from qaemb.workspace import Workspace

SUBJECTS = ["UTS01", "UTS02"]
R = {"gold": 0.30, "qa": 0.15, "embedding": 0.20, "word_rate": 0.10, "qa+embedding": 0.22}  # mean r by encoding model
CEILING = 0.60
QUESTIONS = [f"question_{i}" for i in range(6)]

_SETTINGS = {
    "dataset": {
        "name": "tiny",
        "adapter": "ds003020",
        "path": "data/work/miniature",
        "subjects": SUBJECTS,
        "test_stories": ["cake"],
    },
    "segments": {"tr": {"kind": "tr"}, "sentence": {"kind": "sentence"}},
    "model": {"llm": {"source": "folder", "path": "llm", "kind": "causal"}},
    "answers": {
        "spec": {"llm": {"engine": "shared", "model": "llm", "prompt": "text_first"}},
        "jobs": {
            "llm_tr": {"answerer": "llm", "segmentation": "tr", "set": "quick"},
            "llm_sentence": {"answerer": "llm", "segmentation": "sentence", "set": "quick"},
        },
    },
    "features": {
        "spaces": {
            "gold": {"kind": "gold", "input": "a"},
            "qa": {"kind": "qa", "job": "llm_tr", "input": "a"},
            "embedding": {"kind": "embedding", "model": "llm", "segmentation": "tr", "input": "a"},
            "word_rate": {"kind": "word_rate", "input": "a"},
        }
    },
    "encode": {
        "spaces": {
            "gold": ["gold"],
            "qa": ["qa"],
            "embedding": ["embedding"],
            "word_rate": ["word_rate"],
            "qa+embedding": ["qa", "embedding"],
        }
    },
    "select": {"spaces": ["qa"]},
    "publish": {"job": "llm_tr", "sets": ["core"]},
    "downstream": {
        "tasks": {"pairs": {"kind": "similarity", "data": "pairs.csv", "answerer": "llm", "encoder": "llm"}},
    },
    "report": {"map_space": "gold", "n_top_questions": 3},
}


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(_SETTINGS)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def write_outputs(settings, workspace) -> Callable[[], None]:
    """Return what writes the outputs of all stages before `report`."""

    def write() -> None:
        rng = np.random.default_rng(0)
        _write_dataset(workspace)
        for job in settings.answers.jobs:
            _write_job(workspace, job, rng)
        for model in settings.encode.spaces:
            _write_model(workspace, model, rng)
        _write_selection(workspace, rng)
        _write_tasks(workspace)

    return write


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _table(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)


def _write_dataset(workspace: Workspace) -> None:
    subject = {"voxels": 80, "stories": 3, "missing": [], "nan_voxels": 1, "repeats": {"cake": 5}}
    summary = {
        "stories": {"train": 3, "test": 1},
        "words": 2345,
        "sentences": 210,
        "trs": 1200,
        "test_stories": ["cake"],
        "subjects": {"UTS01": subject, "UTS02": subject | {"missing": ["fog"], "stories": 2}},
    }
    write_json(workspace.dataset / "summary.json", summary)
    hemi = ["left"] * 40 + ["right"] * 40
    voxels = pd.DataFrame({"voxel": range(80), "hemi": hemi, "vertex": [100 + i for i in range(80)], "region": "a"})
    _table(workspace.dataset / "voxels.parquet", pd.concat([voxels.assign(subject=name) for name in SUBJECTS]))
    _table(workspace.questions / "questions.parquet", pd.DataFrame({"question_id": QUESTIONS, "name": QUESTIONS}))
    sets = pd.DataFrame({"set": ["quick"] * 4 + ["full"] * 6, "name": QUESTIONS[:4] + QUESTIONS})
    _table(workspace.questions / "sets.parquet", sets)
    _table(workspace.questions / "rejected.csv", pd.DataFrame({"file": ["a.yaml"], "name": ["b"], "reason": ["c"]}))


def _write_job(workspace: Workspace, job: str, rng: np.random.Generator) -> None:
    names = QUESTIONS[:4]
    margin = pd.DataFrame(rng.normal(-1, 2, (50, 4)).astype(np.float32), columns=names)
    mass = pd.DataFrame(rng.uniform(0, 1, (50, 4)).astype(np.float32), columns=names)
    ids = pd.DataFrame({"segment_id": [f"{i:020x}" for i in range(50)]})
    _table(workspace.answers(job) / "margin.parquet", pd.concat([ids, margin], axis=1))
    _table(workspace.answers(job) / "mass.parquet", pd.concat([ids, mass], axis=1))
    write_json(workspace.answers(job) / "spec.json", {"key": "abc123def456", "model_digest": "d" * 64})
    write_json(workspace.metrics("answers", job), {"cells": 200})
    write_json(workspace.run_figures("answers", job), {"cells_answered_now": 200, "cells_per_s": 31.25})
    verdict = {"success": True, "n_segments": 50, "n_questions": 4, "expectations": [{"success": True}] * 16}
    write_json(workspace.validation(job) / "validation.json", verdict)
    summary = {"name": names, "yes_rate": (margin > 0).mean().to_numpy(), "mean_mass": mass.mean().to_numpy()}
    _table(workspace.validation(job) / "summary.parquet", pd.DataFrame(summary))
    write_json(workspace.metrics("validate", job), {"success": True})
    docs = workspace.reports / "data_docs" / job / "index.html"
    docs.parent.mkdir(parents=True)
    docs.write_text("docs")
    if job == "llm_sentence":
        auc = [0.40, 0.56, 0.58, np.nan]
        grades = pd.DataFrame({"name": names, "property": names, "n": 210, "n_yes": 40, "auc": auc})
        _table(workspace.validation(job) / "grades.csv", grades.assign(balanced_accuracy=0.5))
        write_json(workspace.metrics("validate", job), {"success": True, "mean_auc": 0.513333})


def _write_model(workspace: Workspace, model: str, rng: np.random.Generator) -> None:
    r = R[model]
    tables, metrics, importance = [], {}, []
    for number, subject in enumerate(SUBJECTS):
        voxel_r = rng.normal(r, 0.05, 80)
        voxel_r[7] = np.nan
        tables.append(pd.DataFrame({"subject": subject, "voxel": range(80), "r": voxel_r}))
        metrics[subject] = {
            "mean_r": r + number / 100,
            "r_low": r - 0.02,
            "r_high": r + 0.03,
            "mean_ceiling": CEILING,
            "share_of_ceiling": r / CEILING,
            "mean_cc_norm": r / CEILING + 0.013,
            "n_significant": 47,
            "n_voxels": 80,
            "n_nan": 1,
            "n_reliable": 60,
        }
        values = np.arange(1.0, 7.0) * 2
        importance.append(
            pd.DataFrame({"subject": subject, "feature": QUESTIONS, "importance": values, "signed": -values})
        )
    _table(workspace.encoding(model) / "scores.parquet", pd.concat(tables))
    _table(workspace.encoding(model) / "importance.csv", pd.concat(importance))
    noise = np.random.default_rng(1).normal(0, 0.01, (len(SUBJECTS), 8))  # the same for every model: paired
    own = {
        name: Jackknife(np.array(values["mean_r"]), values["mean_r"] + noise[i], np.zeros(8, dtype=np.int64), name)
        for i, (name, values) in enumerate(metrics.items())
    }
    write_jackknives(workspace.encoding(model), own)
    write_json(workspace.metrics("encode", model), metrics)


def _write_selection(workspace: Workspace, rng: np.random.Generator) -> None:
    rows = [
        {"subject": subject, "method": method, "n_questions": size, "r": top * size / (size + 1)}
        for subject in SUBJECTS
        for method, top in (("elastic_net", 0.2), ("random", 0.15))
        for size in (1, 2, 4, 6)
    ]
    _table(workspace.selection("qa") / "curve.csv", pd.DataFrame(rows))
    workspace.selected.mkdir(parents=True)
    (workspace.selected / "qa.yaml").write_text(yaml.safe_dump({"set": "selected_qa", "questions": QUESTIONS[:3]}))


def _write_tasks(workspace: Workspace) -> None:
    scores = {"tf_idf": 0.41, "answers": 0.52}
    own = {name: {"spearman": r, "spearman_low": r - 0.1, "spearman_high": r + 0.1} for name, r in scores.items()}
    write_json(workspace.metrics("downstream", "pairs"), {"n_pairs": 40, **own})
