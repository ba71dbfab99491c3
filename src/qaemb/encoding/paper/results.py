"""What a model fitted under protocol `paper` leaves behind, in the files of every protocol as far as they make sense.

Absent: ceilings, CC_norm, p and q, as the paper has none of them (run `strict`); a penalty per voxel, as penalties are
those of components (`components.parquet`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.encoding.jackknife import Jackknife, block_stories, confidence
from qaemb.encoding.moments import Array
from qaemb.encoding.paper.fit import ComponentFit, PaperPlan, fit_components, paper_block
from qaemb.encoding.recording import Recording
from qaemb.encoding.results import predictions_file
from qaemb.identity import json_id
from qaemb.settings import EncodeSettings


@dataclass(frozen=True)
class PaperScores:
    """All voxels of one subject: `r` (voxels,), `story_r` (test stories, voxels), the mean r, and the components.

    `rows` is test story -> number of its rows.
    """

    subject: str
    rows: dict[str, int]
    r: Array
    story_r: Array
    mean: Jackknife
    components: ComponentFit


def fit_paper(recording: Recording, plan: PaperPlan, folder: Path, settings: EncodeSettings) -> PaperScores:
    """Return the scores of one subject; write weights_SUBJECT.npy and predictions_SUBJECT.npy as voxels are done.

    Shapes as in protocol `strict`. Both hold the scale of the test responses; predictions their mean, too.
    """
    n, rows = recording.responses.n_voxels, {story: len(values) for story, values in recording.test.items()}
    fit = fit_components(recording, plan, settings)
    r, story_r = np.empty(n), np.empty((len(rows), n))
    story = block_stories(list(rows.values()), settings.block_trs)
    left_out = np.zeros(len(story))
    shape = (len(recording.delays), recording.n_features, n)
    weights = np.lib.format.open_memmap(folder / f"weights_{recording.subject}.npy", "w+", np.float32, shape)
    predicted = np.lib.format.open_memmap(
        predictions_file(folder, recording.subject), "w+", np.float32, (sum(rows.values()), n)
    )
    blocks = recording.blocks(settings.voxel_block)
    for voxels in tqdm(blocks, desc=recording.subject, unit="block", leave=False):
        block = paper_block(recording, fit, settings, voxels)
        r[voxels], story_r[:, voxels] = block.r, block.story_r
        weights[:, :, voxels] = block.weights.reshape(*shape[:2], -1)
        predicted[:, voxels] = block.predicted
        left_out += block.left_out.sum(axis=1)
    weights.flush()
    predicted.flush()
    key = json_id(["paper", recording.subject, list(rows.items()), settings.block_trs, n])
    return PaperScores(
        recording.subject, rows, r, story_r, Jackknife(np.asarray(r.mean()), left_out / n, story, key), fit
    )


def paper_table(scores: PaperScores, stories: list[str]) -> pd.DataFrame:
    """Return the rows of scores.parquet: r over all test rows, r_STORY, and NaN for what the paper does not have."""
    nothing = np.full(len(scores.r), np.nan)
    own = dict(zip(scores.rows, scores.story_r, strict=True))
    columns = {"subject": scores.subject, "voxel": np.arange(len(scores.r), dtype=np.int32), "r": scores.r}
    columns |= {f"r_{story}": own.get(story, nothing) for story in stories}
    return pd.DataFrame(columns | dict.fromkeys(("ceiling", "cc_norm", "p", "q", "alpha"), nothing))


def components_table(scores: PaperScores) -> pd.DataFrame:
    """Return the rows of components.parquet: subject, component, share_of_variance, alpha, tuning_r (held-out r)."""
    fit = scores.components
    return pd.DataFrame(
        {
            "subject": scores.subject,
            "component": np.arange(len(fit.alpha), dtype=np.int32),
            "share_of_variance": fit.pca.sd**2 / fit.pca.total_variance,
            "alpha": fit.alpha,
            "tuning_r": fit.tuning_r,
        }
    )


def paper_summary(scores: PaperScores) -> dict[str, float | int | None]:
    """Return the numbers of one subject for `dvc metrics`: the keys of `results.summarise`, and the paper's own.

    share_positive: voxels with r > 0. mean_r_top_1_percent, mean_r_top_5_percent: mean r of the best voxels. tuning_r:
    held-out r inside train, weighted with the components' variance. variance_kept: share of it in the components.
    """
    found = confidence(scores.mean)
    best, n = np.sort(scores.r)[::-1], len(scores.r)
    interval = [float(own) if np.isfinite(own) else None for own in (found.low, found.high)]
    unknown = dict.fromkeys(("mean_ceiling", "share_of_ceiling", "mean_cc_norm", "n_significant"))
    pca = scores.components.pca
    return {
        "mean_r": float(scores.mean.value),
        "r_low": interval[0],
        "r_high": interval[1],
        **unknown,
        "n_reliable": 0,
        "n_voxels": n,
        "n_nan": 0,
        "share_positive": float((scores.r > 0).mean()),
        "mean_r_top_1_percent": float(best[: math.ceil(n / 100)].mean()),
        "mean_r_top_5_percent": float(best[: math.ceil(n / 20)].mean()),
        "tuning_r": scores.components.mean_tuning_r,
        "variance_kept": float((pca.sd**2).sum() / pca.total_variance),
    }
