import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from qaemb.datasets.miniature.planting import REGIONS, _pial_mesh, grow_cortex
from qaemb.errors import BadInput

PROPERTIES = sorted({name for region in REGIONS for name in region.weights} | {"danger"})


@pytest.fixture(scope="module")
def cortex():
    return grow_cortex(600, PROPERTIES, np.random.default_rng(1))


def test_voxels_are_different_vertices_in_order(cortex):
    table = cortex.table
    assert table["voxel"].tolist() == list(range(600))
    assert not table.duplicated(["hemi", "vertex"]).any()
    assert table["vertex"].between(0, 10241).all()
    assert set(table["region"]) == {region.name for region in REGIONS}


def test_every_region_is_in_one_piece(cortex):
    for (hemi, _), own in cortex.table.groupby(["hemi", "region"]):
        edges = _pial_mesh(hemi)[1][own["vertex"].to_numpy()][:, own["vertex"].to_numpy()]
        assert connected_components(edges, directed=False)[0] == 1
        assert len(own) >= 10


def test_regions_follow_only_their_own_properties(cortex):
    for region in REGIONS:
        own = cortex.weights[:, (cortex.table["region"] == region.name).to_numpy()]
        driven = {name for name, row in zip(PROPERTIES, own, strict=True) if row.any()}
        assert driven == set(region.weights)


def test_control_regions_carry_no_signal(cortex):
    control = cortex.table["region"].str.startswith("control").to_numpy()
    assert control.sum() > 20
    assert not cortex.weights[:, control].any()
    assert not cortex.gain[control].any()
    assert (cortex.gain[~control] > 0).all()
    assert cortex.gain[~control].mean() == pytest.approx(1)


def test_weights_are_smooth(cortex):
    """Neighbours are more alike than voxels of the same region at large, but a region is not flat."""
    table, weights = cortex.table, cortex.weights[PROPERTIES.index("motion")]
    own = table[table["region"] == "motor_left"]
    edges = _pial_mesh("left")[1][own["vertex"].to_numpy()][:, own["vertex"].to_numpy()].tocoo()
    values = weights[own["voxel"]]
    between_neighbours = np.mean((values[edges.row] - values[edges.col]) ** 2) / 2
    assert 0 < between_neighbours < 0.3 * values.var()


def test_the_same_seed_grows_the_same_cortex(cortex):
    again = grow_cortex(600, PROPERTIES, np.random.default_rng(1))
    other = grow_cortex(600, PROPERTIES, np.random.default_rng(2))
    assert again.table.equals(cortex.table)
    assert (again.weights == cortex.weights).all()
    assert not other.table.equals(cortex.table)


def test_many_voxels():
    assert len(grow_cortex(10_000, PROPERTIES, np.random.default_rng(1)).table) == 10_000


def test_a_property_that_is_not_annotated():
    with pytest.raises(BadInput, match=r"lacks `sound`, which the region auditory_left is driven by"):
        grow_cortex(100, ["food"], np.random.default_rng(1))
