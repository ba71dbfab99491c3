from __future__ import annotations

import numpy as np
import pytest

from qaemb.selection.components import components


def blocks_of(y, size):
    return lambda: (y[:, start : start + size] for start in range(0, y.shape[1], size))


def responses(n_rows: int, n_voxels: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    y = rng.standard_normal((n_rows, 5)) * [9, 7, 5, 4, 3] @ rng.standard_normal((5, n_voxels))
    y += 0.5 * rng.standard_normal((n_rows, n_voxels))
    return y - y.mean(axis=0)


@pytest.mark.parametrize(("n_rows", "n_voxels", "size"), [(80, 30, 7), (40, 200, 64)])
def test_components_are_those_of_the_svd_up_to_sign(n_rows, n_voxels, size):
    y = responses(n_rows, n_voxels)
    found = components(blocks_of(y, size), n_rows, 5, seed=0)
    u, s, _ = np.linalg.svd(y, full_matrices=False)
    expected = u[:, :5] * s[:5]
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-6 * s[0])


def test_the_size_of_blocks_does_not_count():
    y = responses(50, 60)
    a, b = (components(blocks_of(y, size), 50, 4, seed=3) for size in (60, 11))
    np.testing.assert_allclose(a, b, atol=1e-8)


def test_no_more_components_than_rows():
    y = responses(6, 20)
    found = components(blocks_of(y, 20), 6, 10, seed=0)
    assert found.shape[0] == 6
    assert found.shape[1] <= 6
    np.testing.assert_allclose(np.linalg.norm(found), np.linalg.norm(y))
