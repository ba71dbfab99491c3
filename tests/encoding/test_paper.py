"""Protocol `paper` against the paper's description written out: rows sliced, one SVD per draw, scikit-learn's PCA."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from qaemb.encoding.jackknife import _block_starts, concatenated_r
from qaemb.encoding.metrics import summarise
from qaemb.encoding.paper.fit import _fit_components, fit_paper, plan_paper, stacked_designs
from qaemb.encoding.paper.pca import fit_pca
from qaemb.encoding.plan import PROTOCOLS, random_chunks
from qaemb.encoding.recording import open_recordings
from qaemb.encoding.results import scores_table
from qaemb.errors import BadInput, BadParameter

PAPER = {
    "protocol": "paper",
    "delays": [1, 2, 3],
    "alphas_log10": (0, 5, 12),
    "n_components": 8,
    "chunk_trs": 10,
    "n_chunks": 6,
    "voxel_block": 13,
}


def opened(world, subject="S1", **changes):
    settings = world.encode_settings(**{**PAPER, **changes})
    (recording,) = open_recordings([subject], world.space, world.stories, settings.delays, world.responses)
    return recording, settings


def by_hand(recording, settings):
    """Return r of each voxel, alphas and held-out r of each component, as the paper's description reads."""
    x_train, x_test = (
        np.vstack(
            [
                np.vstack([np.zeros((k, 6)), np.vstack(list(own.values()))])[: sum(map(len, own.values()))].T
                for k in settings.delays
            ]
        ).T
        for own in (recording.train, recording.test)
    )
    with h5py.File(recording.responses.path) as file:
        raw = {story: file["data"][story][:].astype(np.float64) for story in file["data"]}
    y_train, y_test = (np.vstack([raw[story] for story in own]) for own in (recording.train, recording.test))
    filled_train, filled_test = (np.where(np.isnan(y), np.nanmean(y), y) for y in (y_train, y_test))
    pca = PCA(n_components=settings.n_components, svd_solver="full").fit(filled_train)
    z_train = StandardScaler().fit_transform(pca.transform(filled_train))
    scaler_test = StandardScaler().fit(pca.transform(filled_test))

    part_of = np.concatenate(list(random_chunks(recording.train_rows(), settings).part_of.values()))
    alphas, scores = np.logspace(*settings.alphas_log10), []
    for parts in random_chunks(recording.train_rows(), settings).held:
        held = np.isin(part_of, parts)
        u, s, vt = np.linalg.svd(x_train[~held], full_matrices=False)
        good = s > 1e-10
        own = []
        for alpha in alphas:
            weights = vt[good].T @ ((s[good] / (s[good] ** 2 + alpha))[:, None] * (u[:, good].T @ z_train[~held]))
            predicted = x_train[held] @ weights
            own.append([np.corrcoef(predicted[:, i], z_train[held][:, i])[0, 1] for i in range(z_train.shape[1])])
        scores.append(own)
    mean = np.mean(scores, axis=0)
    best = mean.argmax(axis=0)
    weights = np.column_stack(
        [
            np.linalg.solve(x_train.T @ x_train + alphas[a] * np.eye(x_train.shape[1]), x_train.T @ z_train[:, i])
            for i, a in enumerate(best)
        ]
    )
    predicted = pca.inverse_transform(scaler_test.inverse_transform(x_test @ weights))
    r = []
    for voxel in range(y_test.shape[1]):
        known = ~np.isnan(y_test[:, voxel])
        r.append(np.corrcoef(predicted[known, voxel], y_test[known, voxel])[0, 1])
    return np.nan_to_num(r), alphas[best], mean.max(axis=0), predicted, pca


@pytest.mark.parametrize(
    "changes", [{}, {"n_bootstraps": 1}, {"delays": list(range(1, 61)), "alphas_log10": (2, 6, 5)}]
)
def test_scores_are_those_of_the_description_written_out(world, tmp_path, changes):
    recording, settings = opened(world, **changes)
    plan = plan_paper(recording, settings)
    assert (plan.basis is None) == (len(settings.delays) == 3)
    found = fit_paper(recording, plan, tmp_path, settings)
    r, alpha, tuning_r, predicted, pca = by_hand(recording, settings)
    np.testing.assert_allclose(found.r, r, atol=1e-8)
    np.testing.assert_allclose(found.components.alpha, alpha)
    np.testing.assert_allclose(found.components.tuning_r, tuning_r, atol=1e-8)
    np.testing.assert_allclose(np.load(tmp_path / "predictions_S1.npy"), predicted, atol=1e-4)
    numbers = summarise(found, "paper")
    assert numbers["mean_r"] == pytest.approx(r.mean())
    assert numbers["share_positive"] == (r > 0).mean()
    assert numbers["mean_r_top_1_percent"] == pytest.approx(r.max())
    assert numbers["mean_r_top_5_percent"] == pytest.approx(np.sort(r)[-2:].mean())
    assert numbers["tuning_r"] == pytest.approx(np.average(tuning_r, weights=pca.explained_variance_))
    assert numbers["variance_kept"] == pytest.approx(pca.explained_variance_ratio_.sum())
    assert (numbers["n_voxels"], numbers["n_nan"], numbers["mean_ceiling"]) == (30, 0, None)


def test_weights_predict_what_is_stored(world, tmp_path):
    recording, settings = opened(world)
    found = fit_paper(recording, plan_paper(recording, settings), tmp_path, settings)
    weights, predicted = (np.load(tmp_path / f"{name}_S1.npy") for name in ("weights", "predictions"))
    assert weights.shape == (3, 6, 30)
    design = np.vstack([own for _, own in stacked_designs(recording.test, settings.delays)])
    again = design @ weights.reshape(18, 30)
    np.testing.assert_allclose(again - again.mean(axis=0), predicted - predicted.mean(axis=0), atol=1e-4)
    table = scores_table([found], ["x", "y", "z"])
    edges = [len(recording.test["x"])]
    for story, own in zip("xy", np.split(predicted, edges), strict=True):
        measured = recording.responses.read(story, slice(0, 1))[:, 0]
        assert table[f"r_{story}"][0] == pytest.approx(np.corrcoef(own[:, 0], measured)[0, 1], abs=1e-5)
    assert table["r_x"][world.flat_voxel] == 0
    assert table[["r_z", "ceiling", "cc_norm", "p", "q", "alpha"]].isna().all(axis=None)


def test_delays_reach_into_the_story_before():
    stories = {"a": np.array([[1.0], [2.0], [3.0]]), "b": np.array([[4.0]]), "c": np.array([[5.0], [6.0]])}
    found = {story: own.tolist() for story, own in stacked_designs(stories, [1, 2])}
    assert found == {"a": [[0, 0], [1, 0], [2, 1]], "b": [[3, 2]], "c": [[4, 3], [5, 4]]}


def test_the_test_responses_own_scale_is_in_the_predictions(world, tmp_path):
    """The paper's scaler of the test components: louder test responses give louder predictions."""
    recording, settings = opened(world)
    plan = plan_paper(recording, settings)
    fit = _fit_components(recording, plan, settings)
    loud = tmp_path / "loud.h5"
    with h5py.File(recording.responses.path) as file, h5py.File(loud, "w") as copy:
        for story in file["data"]:
            copy[f"data/{story}"] = file["data"][story][:] * (5 if story in recording.test else 1)
    responses = type(recording.responses)(loud)
    again = _fit_components(replace(recording, responses=responses), plan, settings)
    np.testing.assert_allclose(again.test_sd, 5 * fit.test_sd, rtol=0.05)
    np.testing.assert_array_equal(again.predicted, fit.predicted)
    np.testing.assert_array_equal(again.alpha, fit.alpha)


def test_pca_is_scikit_learns_where_the_search_space_holds_all():
    rng = np.random.default_rng(1)
    y = rng.standard_normal((90, 5)) @ rng.standard_normal((5, 40)) + 0.5 * rng.standard_normal((90, 40)) + 3
    found = fit_pca(lambda: iter([(slice(0, 25), y[:, :25]), (slice(25, 40), y[:, 25:])]), y.shape, 7, seed=0)
    expected = PCA(7, svd_solver="full").fit(y)
    sign = np.sign((found.components * expected.components_).sum(axis=1))
    np.testing.assert_allclose(found.components, sign[:, None] * expected.components_, atol=1e-9)
    scores = StandardScaler().fit_transform(expected.transform(y))
    np.testing.assert_allclose(found.scores, sign * scores, atol=1e-9)
    np.testing.assert_allclose(found.sd**2 * 90 / 89, expected.explained_variance_)
    np.testing.assert_allclose(found.sd**2 / found.total_variance, expected.explained_variance_ratio_)
    np.testing.assert_allclose(found.mean, expected.mean_)


def test_pca_finds_the_leading_components_of_many_voxels():
    """The search space (6 passes of 25) is far smaller than rows and voxels; noise is as wide as in real responses."""
    rng = np.random.default_rng(2)
    signal = rng.standard_normal((700, 5)) * [8, 5, 4, 3, 2] @ rng.standard_normal((5, 900)) / 30
    y = signal + rng.standard_normal((700, 900)) / 30
    found = fit_pca(lambda: iter([(slice(0, 900), y)]), y.shape, 5, seed=0)
    expected = PCA(5, svd_solver="full").fit(y)
    np.testing.assert_allclose(found.sd**2 * 700 / 699, expected.explained_variance_, rtol=1e-8)
    overlap = np.abs((found.components * expected.components_).sum(axis=1))
    np.testing.assert_allclose(overlap, 1, atol=1e-6)


def test_components_without_variance_are_left_out():
    rng = np.random.default_rng(3)
    y = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 20))
    found = fit_pca(lambda: iter([(slice(0, 20), y)]), y.shape, 10, seed=0)
    assert found.scores.shape == (60, 3)
    np.testing.assert_allclose(found.scores.mean(axis=0), 0, atol=1e-9)


def test_r_without_a_block_is_r_of_the_other_rows():
    rng = np.random.default_rng(4)
    predicted, measured = rng.standard_normal((2, 90, 4))
    measured[:, 1] += predicted[:, 1]
    measured[7, 2] = np.nan
    measured[:, 3] = 5.0
    r, left_out = concatenated_r(predicted, measured, [50, 40], 20)
    starts = [*_block_starts(50, 20), *(50 + _block_starts(40, 20))]
    assert left_out.shape == (len(starts), 4)
    for rows, own in [(np.arange(0), r), *zip(np.split(np.arange(90), starts[1:]), left_out, strict=True)]:
        kept = np.setdiff1d(np.arange(90), rows)
        for voxel in range(3):
            known = kept[np.isfinite(measured[kept, voxel])]
            expected = np.corrcoef(predicted[known, voxel], measured[known, voxel])[0, 1]
            assert own[voxel] == pytest.approx(expected, abs=1e-12)
        assert own[3] == 0


def test_draws_hold_out_whole_chunks_at_random_and_may_overlap(world):
    settings = world.encode_settings(**PAPER)
    rows = {"a": 33, "b": 44, "c": 26}
    partition = random_chunks(rows, settings)
    assert {story: len(own) for story, own in partition.part_of.items()} == rows
    part_of = np.concatenate(list(partition.part_of.values()))
    held = np.array([np.isin(part_of, parts) for parts in partition.held])
    assert held.shape == (5, 103)
    assert (held.sum(axis=1) == 60).all()
    assert not held[:, 100:].any()  # three rows are left after ten chunks
    chunks = held[:, :100].reshape(5, 10, 10)
    assert (chunks.all(axis=2) == chunks.any(axis=2)).all()
    assert len({tuple(own) for own in held.tolist()}) > 1
    assert sorted({part for parts in partition.held for part in parts} | set(part_of)) == list(range(partition.n_parts))
    again, other = random_chunks(rows, settings), random_chunks(rows, settings.model_copy(update={"seed": 1}))
    assert all((again.part_of[story] == partition.part_of[story]).all() for story in rows)
    assert any((other.part_of[story] != partition.part_of[story]).any() for story in rows)


def test_too_few_chunks_are_refused_with_a_number_that_fits(world):
    settings = world.encode_settings(**{**PAPER, "n_chunks": 125, "chunk_trs": 40})
    with pytest.raises(
        BadParameter, match=r"encode\.n_chunks: 125 chunks of 40 TRs .* of 19 \(762 train rows\); 3 would"
    ):
        random_chunks({"a": 400, "b": 362}, settings)
    with pytest.raises(BadParameter, match=r"out of 1 \(50 train rows\); lower encode\.chunk_trs"):
        random_chunks({"a": 50}, settings)


def test_other_stages_are_refused():
    with pytest.raises(BadParameter, match=r"encode\.protocol: `paper` belongs to the stage `encode` alone.*`strict`"):
        PROTOCOLS["paper"]({"a": 10}, None)


def test_delays_of_another_kind_are_refused(world):
    with pytest.raises(ValidationError, match=r"protocol `paper` delays by 1 to k TRs: write `delays` as \[1, 2"):
        world.encode_settings(**{**PAPER, "delays": [2, 3]})


def test_a_subject_without_responses_is_named(world, tmp_path):
    recording, settings = opened(world)
    empty = tmp_path / "S1.h5"
    with h5py.File(recording.responses.path) as file, h5py.File(empty, "w") as copy:
        for story in file["data"]:
            copy[f"data/{story}"] = np.full_like(file["data"][story], np.nan)
    bare = replace(recording, responses=type(recording.responses)(empty))
    with pytest.raises(BadInput, match=r"S1\.h5: no response to a, b, c, d, e is known; drop the subject"):
        _fit_components(bare, plan_paper(recording, settings), settings)
