"""Images of a run as arrays (n_trs, voxels): sizes from headers, values volume by volume, noise removed."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.datasets.bids.index import BidsIndex, BidsSettings, Run
from qaemb.datasets.source import N_VERTICES
from qaemb.errors import BadInput

Array = NDArray[np.float32]

_BLOCK_BYTES = 64 * 2**20
_BLOCK_VOXELS = 8192
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error)
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


def _open_image(path: Path) -> Any:
    """Return an image whose values are read when sliced; BadInput names a file that is none."""
    import nibabel

    try:
        # An open file is read on, where a closed one would be unpacked from its start for every block.
        return nibabel.load(path, **({} if path.name.endswith(".gii") else {"keep_file_open": True}))
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; fetch it") from error
    except Exception as error:  # damaged headers fail in many ways inside nibabel and its XML reader
        raise BadInput(f"{path} can't be read as an image ({error}): cut off or damaged; fetch it again") from error


def n_volumes(run: Run) -> int:
    """Return the volumes of a run, of both hemispheres; BadInput if these differ or it is a single volume."""
    counts = []
    for path in run.images:
        image = _open_image(path)
        counts.append(len(image.darrays) if run.is_surface else (*image.shape, 1, 1)[3])
    if len(set(counts)) > 1 or counts[0] < 2:
        raise BadInput(f"{run.images[0]} holds {counts[0]} volumes ({counts[-1]} in {run.images[-1].name})")
    return counts[0]


def header_tr(run: Run) -> float:
    """Return the TR in seconds that the header of a NIfTI states, 0 if it states none."""
    header = _open_image(run.images[0]).header
    zooms = header.get_zooms()
    return float(zooms[3]) * _SECONDS[header.get_xyzt_units()[1]] if len(zooms) > 3 else 0.0


def common_mask(runs: list[Run], index: BidsIndex) -> Any:
    """Return the voxels that all runs have: the mask of the settings, else where the masks of all runs agree."""
    from nilearn.masking import intersect_masks

    of_settings = index.settings.mask
    paths = [index.mask(run) for run in runs] if of_settings is None else [index.folder / of_settings]
    try:
        mask = intersect_masks([_open_image(path) for path in paths], threshold=1, connected=False)
    except _UNREADABLE as error:
        raise BadInput(f"{paths[0]} and the masks of {len(paths) - 1} more runs can't be joined: {error}") from error
    if not np.asarray(mask.dataobj).any():
        raise BadInput(f"{paths[0]}: no voxel is in the masks of all {len(paths)} runs")
    return mask


def count_inside(path: Path) -> int:
    """Return the number of voxels inside a mask; BadInput names a file that can't be read."""
    try:
        return int(np.count_nonzero(np.asarray(_open_image(path).dataobj)))
    except _UNREADABLE as error:
        raise BadInput(f"{path} can't be read to the end ({error}): cut off; fetch it again") from error


def read_volumes(run: Run, mask: Any, rows: slice) -> Array:
    """Return the values (volumes, voxels) of the voxels inside the mask, in the order of `numpy.ndarray[mask]`.

    Volumes are read one after the other, so that the unmasked run is never in memory.
    """
    path = run.images[0]
    image, inside = _open_image(path), np.asarray(mask.dataobj).astype(bool)
    if image.shape[:3] != inside.shape or not np.allclose(image.affine, mask.affine, atol=1e-3):
        raise BadInput(f"{path} is {image.shape[:3]}, its mask {inside.shape}; both must be of one grid and position")
    step = max(1, _BLOCK_BYTES // (8 * inside.size))
    values = np.empty((rows.stop - rows.start, int(inside.sum())), np.float32)
    for start in range(rows.start, rows.stop, step):
        stop = min(start + step, rows.stop)
        try:
            volumes = np.asarray(image.dataobj[..., start:stop])
        except _UNREADABLE as error:
            raise BadInput(f"{path} can't be read to the end ({error}): cut off; fetch it again") from error
        values[start - rows.start : stop - rows.start] = volumes[inside].T
    return values


def read_surfaces(run: Run, rows: slice) -> Array:
    """Return the values (volumes, vertices): the vertices of the left hemisphere, then of the right."""
    sides = [np.stack([array.data for array in _open_image(path).darrays[rows]]) for path in run.images]
    if run.space == "fsaverage5" and {side.shape[1] for side in sides} != {N_VERTICES}:
        raise BadInput(f"{run.images[0]} holds {sides[0].shape[1]} vertices, but fsaverage5 has {N_VERTICES}")
    return np.concatenate(sides, axis=1).astype(np.float32)


def clean(values: Array, confounds: NDArray[np.float64] | None, tr_s: float, settings: BidsSettings) -> Array:
    """Return the values without drift and confounds and z-scored, as the settings say; constant voxels are NaN.

    One regression (nilearn.signal.clean) removes line, cosines and confounds, in blocks of voxels.
    """
    from nilearn.signal import clean as clean_signals

    drift: dict[str, Any] = {"filter": False}
    # The slowest cosine makes half a turn in a run, so a run shorter than that has none to remove.
    if settings.high_pass_hz is not None and 2 * len(values) * tr_s * settings.high_pass_hz >= 1:
        drift = {"filter": "cosine", "high_pass": settings.high_pass_hz, "t_r": tr_s}
    cleaned = np.full_like(values, np.nan)
    varies = np.flatnonzero(np.isfinite(values).all(axis=0) & (values != values[:1]).any(axis=0))
    for start in range(0, len(varies), _BLOCK_VOXELS):
        block = varies[start : start + _BLOCK_VOXELS]
        cleaned[:, block] = clean_signals(
            values[:, block].astype(np.float64),
            detrend=settings.detrend,
            standardize="zscore_sample" if settings.standardize else None,
            confounds=confounds,
            **drift,
        )
    return cleaned
