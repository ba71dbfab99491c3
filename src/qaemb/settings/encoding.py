"""Settings of encoding models (stage `encode`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qaemb.settings.base import Section


class EncodeSettings(Section):
    """Encoding models: which spaces, joined how, under which protocol (stage `encode`)."""

    protocol: Literal["strict", "reference"] = "strict"
    delays: list[int] = Field([1, 2, 3, 4], min_length=1)
    alphas_log10: tuple[float, float, int] = Field((1.0, 5.5, 10), description="first, last, how many")
    n_folds: int = Field(4, ge=2, description="strict: folds over train stories")
    holdout: float = Field(0.15, gt=0, lt=1, description="reference: last share of train rows that chooses alpha")
    voxel_block: int = Field(4096, ge=1)
    spaces: dict[str, list[str]] = Field(description="name of a model: feature spaces joined in it")
    n_permutations: int = Field(1000, ge=0, description="surrogate predictions for each voxel's p; 0: no test")
    block_trs: int = Field(25, ge=1, description="TRs in one block of the jackknife")
    seed: int = 0
