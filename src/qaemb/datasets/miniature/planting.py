"""Responses planted from annotations: properties of words -> TRs -> blood -> voxels, and noise on top.

`grow_cortex` says where a subject's voxels lie on fsaverage5, and how strongly each property drives each of them.
Regions grow from seeds along the pial surface: a vertex belongs to the seed with the shortest way along the edges of
the mesh, and the vertices nearest to their seeds are the voxels. So every region is in one piece and nameable, and the
seeds are shifted a little per subject, as brains differ. Inside a region the weights of its properties vary smoothly.
The regions and what drives them are made up for this data set, after the rough outline of the literature.

All functions are pure; every random number comes from the generator in the arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.signal import lfilter
from scipy.sparse.csgraph import dijkstra

from qaemb.datasets.ds003020 import N_TRIMMED, SOUND_START_S, TR_S
from qaemb.errors import BadInput
from qaemb.stimuli.lanczos import lanczos_matrix

_SEED_SHIFT_MM = 3.0
_SMOOTHING_STEPS = 15
_TUNING_SPREAD = 0.5
"""Standard deviation of a weight inside a region, as a share of the region's own weight."""


@dataclass(frozen=True)
class _Region:
    """A region: hemisphere, seed in fsaverage's millimetres, relative size, and the weights of its properties."""

    name: str
    hemi: str
    seed: tuple[float, float, float]
    size: float
    weights: dict[str, float]


REGIONS = [
    _Region("auditory_left", "left", (-50, -22, 8), 1.0, {"sound": 1.0, "speech": 0.8}),
    _Region("auditory_right", "right", (50, -20, 8), 1.0, {"sound": 1.2, "speech": 0.5}),
    _Region("temporal_left", "left", (-60, -42, 2), 1.2, {"negation": 0.9, "asks": 0.9, "reason": 0.8, "past": 0.6}),
    _Region("temporal_right", "right", (58, -38, 2), 1.1, {"speech": 0.8, "interaction": 0.8, "named_person": 0.9}),
    _Region("frontal_left", "left", (-50, 24, 12), 1.0, {"uncertainty": 1.0, "comparison": 0.9, "future": 0.8}),
    _Region("parietal_left", "left", (-40, -58, 46), 1.0, {"number": 1.1, "time": 0.8, "writing": 0.7}),
    _Region("place_left", "left", (-14, -56, 12), 1.0, {"place": 1.0, "indoors": 0.7, "nature": 0.7}),
    _Region("place_right", "right", (15, -54, 12), 1.0, {"place": 0.9, "nature": 0.9, "vehicle": 0.7}),
    _Region("ventral_left", "left", (-36, -54, -18), 1.1, {"food": 1.2, "taste_smell": 0.9, "color": 0.6}),
    _Region("ventral_right", "right", (36, -54, -18), 1.1, {"sight": 0.9, "color": 0.8, "animal": 1.0}),
    _Region("motor_left", "left", (-40, -22, 56), 1.1, {"motion": 0.9, "tool": 0.8, "touch": 0.9, "body": 0.8}),
    _Region("mind_medial", "left", (-8, 52, 22), 1.0, {"own_thought": 1.0, "negative": 0.8, "positive": -0.7}),
    _Region("mind_right", "right", (52, -54, 28), 1.0, {"other_mind": 1.1, "family": 0.7, "interaction": 0.6}),
    _Region("control_left", "left", (-12, -96, 2), 1.0, {}),
    _Region("control_right", "right", (28, 32, -14), 1.0, {}),
]
"""The two `control` regions carry no signal."""


@dataclass(frozen=True)
class Cortex:
    """A subject's voxels. `table`: voxel, hemi, vertex, region. `weights` (properties, voxels).

    `gain` (voxels,) has mean 1 over voxels with signal and is 0 in the others: a voxel's signal-to-noise as a share of
    the stated one.
    """

    table: pd.DataFrame
    weights: NDArray[np.float64]
    gain: NDArray[np.float64]


def grow_cortex(n_voxels: int, properties: list[str], rng: np.random.Generator) -> Cortex:
    """Return the voxels of one subject, ordered by hemisphere and vertex; the same `rng` state gives the same cortex.

    BadInput if a region's property is not among `properties`.
    """
    for region in REGIONS:
        for name in region.weights:
            if name not in properties:
                raise BadInput(f"properties.yaml lacks `{name}`, which the region {region.name} is driven by")
    vertices = pd.concat([_grow_hemisphere(hemi, rng) for hemi in ("left", "right")])
    nearest = vertices.sort_values("distance", kind="stable").head(n_voxels)
    table = nearest.sort_values(["hemi", "vertex"]).drop(columns="distance").reset_index(drop=True)
    table.insert(0, "voxel", np.arange(len(table)))
    fields = {hemi: _smooth_fields(hemi, len(properties) + 1, rng) for hemi in ("left", "right")}
    field = np.stack([fields[hemi][vertex] for hemi, vertex in zip(table["hemi"], table["vertex"], strict=True)])
    profiles = {region.name: [region.weights.get(name, 0.0) for name in properties] for region in REGIONS}
    weights = np.array([profiles[name] for name in table["region"]]) * (1 + _TUNING_SPREAD * field[:, :-1])
    has_signal = (weights != 0).any(axis=1)
    gain = np.where(has_signal, np.exp(0.35 * field[:, -1]), 0.0)
    return Cortex(table, weights.T, gain / gain[has_signal].mean())


def _grow_hemisphere(hemi: str, rng: np.random.Generator) -> pd.DataFrame:
    """Return hemi, vertex, region and distance to the region's seed, in units of the region's size."""
    coordinates, edges = _pial_mesh(hemi)
    regions = [region for region in REGIONS if region.hemi == hemi]
    seeds = np.array([region.seed for region in regions]) + rng.normal(0, _SEED_SHIFT_MM, (len(regions), 3))
    vertices = [int(np.argmin(((coordinates - seed) ** 2).sum(axis=1))) for seed in seeds]
    ways = dijkstra(edges, directed=False, indices=vertices)
    owner = ways.argmin(axis=0)
    sizes = np.array([region.size for region in regions])
    names = np.array([region.name for region in regions])
    distance = ways.min(axis=0) / sizes[owner]
    vertex = np.arange(len(coordinates))
    return pd.DataFrame({"hemi": hemi, "vertex": vertex, "region": names[owner], "distance": distance})


@lru_cache(maxsize=2)
def _pial_mesh(hemi: str) -> tuple[NDArray[np.float64], sparse.csr_array]:
    """Return fsaverage5's pial surface: coordinates (10242, 3) in mm and the lengths of its edges (symmetric)."""
    from nilearn import datasets, surface

    mesh = surface.load_surf_mesh(datasets.fetch_surf_fsaverage("fsaverage5")[f"pial_{hemi}"])
    coordinates = np.asarray(mesh.coordinates, dtype=np.float64)
    faces = np.asarray(mesh.faces)
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    lengths = np.linalg.norm(coordinates[pairs[:, 0]] - coordinates[pairs[:, 1]], axis=1)
    upper = sparse.csr_array((lengths, (pairs[:, 0], pairs[:, 1])), shape=(len(coordinates), len(coordinates)))
    return coordinates, (upper + upper.T).tocsr()


def _smooth_fields(hemi: str, n_fields: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return random maps (vertices, n_fields) that vary smoothly over the surface, of mean 0 and variance 1."""
    _, edges = _pial_mesh(hemi)
    step = (edges != 0).astype(np.float64) + sparse.eye_array(edges.shape[0])
    step = sparse.diags_array(1 / step.sum(axis=1)) @ step
    field = rng.normal(size=(edges.shape[0], n_fields))
    for _ in range(_SMOOTHING_STEPS):
        field = step @ field
    return (field - field.mean(axis=0)) / field.std(axis=0)


_N_BEFORE, _N_AFTER = 10, 5
"""Scans cut from the simulated run to give the rows of ds003020; five more are never simulated."""


def n_scans(duration_s: float) -> int:
    """Return the scans of a run with a sound of this length: 10 s before it, and 10 s after it.

    >>> n_scans(60.5)
    41
    """
    return int(np.ceil(duration_s / TR_S)) + N_TRIMMED // 2


def property_time_courses(
    word_times: NDArray[np.float64], word_properties: NDArray[np.float64], scans: int
) -> NDArray[np.float64]:
    """Return what each property does to the blood at each response row, (scans - 20, properties).

    `word_times` (words,) are the middles of the words in seconds of the sound, `word_properties` (words, properties)
    their 0/1 annotations. Lanczos brings these to the TRs of the whole run (from 10 s before the sound on), SPM's HRF
    delays and smears them, and the run is trimmed as ds003020's are.
    """
    from nilearn.glm.first_level import spm_hrf

    tr_times = TR_S * np.arange(scans - _N_AFTER, dtype=np.float64) - SOUND_START_S + TR_S / 2
    neural = lanczos_matrix(word_times, tr_times) @ word_properties
    # One value per TR from the onset of the response on; it sums to 1, and its value at time 0 is 0.
    response = spm_hrf(TR_S, oversampling=1)
    blood = lfilter(response, [1.0], neural, axis=0)
    return blood[_N_BEFORE:-_N_AFTER]


def scale_signals(
    signals: list[NDArray[np.float64]], signal_to_noise: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Return the signals of all runs, each (rows, voxels), with the variance that `signal_to_noise` (voxels,) states.

    The variance is that inside runs (each run's mean is taken out, as z-scoring the runs will), over all rows; the
    noise has variance 1. A voxel without signal, by its weights or by 0 in `signal_to_noise`, stays without.
    """
    centred = [signal - signal.mean(axis=0) for signal in signals]
    variance = sum((signal**2).sum(axis=0) for signal in centred) / sum(len(signal) for signal in centred)
    scale = np.sqrt(np.divide(signal_to_noise, variance, out=np.zeros_like(variance), where=variance > 1e-12))
    return [signal * scale for signal in centred]


def ar1_noise(shape: tuple[int, int], coefficient: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return stationary AR(1) noise (rows, voxels) of variance 1: e_t = a e_(t-1) + sqrt(1 - a^2) n_t."""
    shocks = rng.normal(size=shape)
    shocks[1:] *= np.sqrt(1 - coefficient**2)
    return lfilter([1.0], [1.0, -coefficient], shocks, axis=0)


def zscore(run: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a run (rows, voxels) with mean 0 and variance 1 per voxel, rounded to 1e-6.

    The rounding makes the files independent of the order in which a machine's BLAS adds.
    """
    return np.round((run - run.mean(axis=0)) / run.std(axis=0), 6)
