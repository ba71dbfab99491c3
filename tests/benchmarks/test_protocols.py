"""The two ends of the ablation are the protocols themselves, and its table holds each number at its place."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from benchmarks import protocols
from benchmarks.protocol_variants import DIFFERENCES, PAPER, STRICT, Data, Score, evaluate, noise, read_data
from qaemb.encoding.fit import fit_voxels
from qaemb.encoding.jackknife import Jackknife
from qaemb.encoding.paper.fit import fit_paper, plan_paper
from qaemb.encoding.plan import plan_fit
from qaemb.encoding.recording import Recording, open_recordings
from qaemb.encoding.solvers import plain_solver
from qaemb.features.space import Space, write_space
from qaemb.files import write_table
from qaemb.settings import EncodeSettings
from qaemb.workspace import Workspace

ROWS = {"a": 60, "b": 50, "c": 70, "d": 55, "e": 64, "f": 48, "x": 80, "y": 60}
COMMON = {"n_folds": 3, "n_chunks": 6, "n_permutations": 0, "precision": "float64", "spaces": {}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    own, rng = Workspace(tmp_path_factory.mktemp("protocols")), np.random.default_rng(0)
    x = {story: rng.standard_normal((n, 5)).astype(np.float32) for story, n in ROWS.items()}
    write_space(own.features("qa") / "features.parquet", Space([f"q{i}" for i in range(5)], x))
    table = [(story, "test" if story in "xy" else "train", n, 2.0, 1.0) for story, n in ROWS.items()]
    columns = ["story", "split", "n_trs", "tr_s", "first_tr_s"]
    write_table(own.dataset / "stories.parquet", pd.DataFrame(table, columns=columns))
    (own.dataset / "responses").mkdir()
    weights = rng.standard_normal((5, 120))
    with h5py.File(own.dataset / "responses" / "s.h5", "w") as file:
        for story, values in x.items():
            y = np.vstack([np.zeros((2, 120)), values[:-2] @ weights]) + 4 * rng.standard_normal((len(values), 120))
            file[f"data/{story}"] = (y - y.mean(axis=0)).astype(np.float32)
    return own


@pytest.fixture(scope="module")
def data(workspace) -> Data:
    return read_data(workspace, "qa", ["s"], EncodeSettings.model_validate(COMMON))


def recording_of(workspace, data, variant, protocol) -> tuple[Recording, EncodeSettings]:
    own = {"protocol": protocol, "delays": list(range(1, variant.n_delays + 1)), "alphas_log10": variant.alphas_log10}
    settings = EncodeSettings.model_validate({**COMMON, **own})
    space = Space([f"q{i}" for i in range(5)], {story: v.astype(np.float32) for story, v in _features(data).items()})
    stories = pd.read_parquet(workspace.dataset / "stories.parquet")
    folder = workspace.dataset / "responses"
    return open_recordings(["s"], space, stories, settings.delays, folder)[0], settings


def _features(data: Data) -> dict[str, np.ndarray]:
    return {**data.train, **data.test}


def test_one_end_is_strict(workspace, data, tmp_path):
    recording, settings = recording_of(workspace, data, STRICT, "strict")
    plan = plan_fit(recording, settings)
    expected = fit_voxels(recording, plan, settings, plain_solver(plan, settings), tmp_path)
    found = evaluate(data, "s", STRICT)
    np.testing.assert_allclose(found.r, expected.r, atol=1e-5)
    np.testing.assert_allclose(found.jackknife.left_out, expected.mean.left_out, atol=1e-5)


def test_the_other_end_is_paper(workspace, data, tmp_path):
    recording, settings = recording_of(workspace, data, PAPER, "paper")
    expected = fit_paper(recording, plan_paper(recording, settings), tmp_path, settings)
    found = evaluate(data, "s", PAPER)
    assert len(expected.components.alpha) == 100
    np.testing.assert_allclose(found.r, expected.r, atol=1e-5)
    np.testing.assert_allclose(found.jackknife.left_out, expected.mean.left_out, atol=1e-5)


def test_every_difference_does_something(data):
    start, components = evaluate(data, "s", STRICT), evaluate(data, "s", STRICT.with_({"n_components": 100}))
    for name, changes in DIFFERENCES.items():
        before = components if name in protocols._BEFORE else start
        assert np.abs(evaluate(data, "s", STRICT.with_(changes)).r - before.r).max() > 1e-4, name


def test_nothing_predicts_noise(data):
    silent = noise(data, 0.8, 400, seed=1)
    y = silent.responses["noise"]["a"]
    np.testing.assert_allclose(y.std(axis=0), 1)
    lag = np.mean([np.corrcoef(own[1:], own[:-1])[0, 1] for own in y.T])
    assert lag == pytest.approx(0.74, abs=0.05)  # z-scoring 60 rows takes slow variation away
    found = evaluate(silent, "noise", STRICT)
    assert abs(found.mean) < 4 * found.r.std() / 20


def test_table_holds_each_score_at_its_place():
    def score(r: float) -> Score:
        left_out = r + np.array([0.01, -0.01, 0.01, -0.01])
        return Score(np.array([r]), Jackknife(np.array(r), left_out, np.zeros(4, dtype=np.int64)), 0.0, 1.0)

    names = list(protocols._variants(True))
    own = {name: {"uts03": score(0.1 + i / 100), "uts01": score(0.05 + i / 100)} for i, name in enumerate(names)}
    scores = {"gpt4": own, "word_rate": own, "embedding": own, "miniature": own}
    numbers = {"test_r": 0.001, "sd": 0.05, "tuning_r": 0.02}
    leaks = {kind: dict.fromkeys(("strict", *DIFFERENCES, "paper"), numbers) for kind in protocols._NOISE}
    lines = protocols.tables(scores, leaks).splitlines()
    assert protocols.headline(scores)["uts01_paper_gpt4"] == 0.06
    assert "| `strict` | | | 0.1000 | 0.0500 |" in lines
    first = next(line for line in lines if line.startswith("| 8 delays"))
    assert first.startswith("| 8 delays | +0.0200 (+0.0200 to +0.0200) | +0.0200")
    assert first.endswith("| 0.1300 | 0.0800 |")
    scaled = next(line for line in lines if line.startswith("| scale of the test"))
    assert scaled.startswith("| scale of the test responses | +0.0200 ")  # against the components, two places before
    assert "| `paper` | +0.0010 (0.050) | +0.0200 | +0.0010 (0.050) | +0.0200 |" in lines
