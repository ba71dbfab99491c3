"""Promise 8: the same commit, data and seed give the same numbers within a stated tolerance."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from ..answers.conftest import save_tiny_llm
from .conftest import qaemb

SAME_ENGINE, OTHER_ENGINE = 1e-5, 1e-3  # nats: the same engine with other threads and batches; any two engines


@pytest.mark.slow
def test_promise_8_the_same_numbers_whatever_the_engine_batch_and_order_of_work(tmp_path, project):
    source = tmp_path / "source"
    source.mkdir()
    save_tiny_llm(source)
    edit = {
        "again": {},
        "threads": {"threads": 1, "batch_tokens": 64},
        "reference": {"engine": "reference"},
    }
    found = {name: _matrix(tmp_path / name, project, source, change) for name, change in {"first": {}, **edit}.items()}
    np.testing.assert_allclose(found["again"], found["first"], atol=SAME_ENGINE, rtol=0)
    np.testing.assert_allclose(found["threads"], found["first"], atol=SAME_ENGINE, rtol=0)
    np.testing.assert_allclose(found["reference"], found["first"], atol=OTHER_ENGINE, rtol=0)
    assert found["first"].std() > 0.01


def test_promise_8_a_matrix_is_byte_for_byte_a_read_of_the_store(tmp_path, project):
    assert qaemb(project).returncode == 0
    folder = project.folder / "data" / "work" / "answers" / "pub"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(project.folder / "data" / "work" / "answers")
    assert qaemb(project).returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def _matrix(folder, project, source, change) -> np.ndarray:
    shutil.copytree(project.folder, folder)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["model"] = {"tiny": {"source": "folder", "path": str(source), "kind": "causal"}}
    params["answers"]["spec"] = {"pub": {"engine": "shared", "model": "tiny", "prompt": "text_first", **change}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    segments = folder / "data/work/segments/tr/segments.parquet"
    pd.read_parquet(segments).iloc[:40].to_parquet(segments, index=False)
    for command in (["model", "--model", "tiny"], ["answers", "--job", "pub"]):
        done = qaemb(folder, *command)
        assert done.returncode == 0, done.stderr
    return pd.read_parquet(folder / "data/work/answers/pub/margin.parquet").drop(columns="segment_id").to_numpy()
