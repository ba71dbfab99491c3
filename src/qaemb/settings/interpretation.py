"""Settings of what encoding models mean (stage `interpret`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qaemb.settings.base import Section


class InterpretSettings(Section):
    """What drives the voxels of encoding models (stage `interpret`; docs/interpretation.md)."""

    models: list[str] = Field([], description="models of encode.spaces, fitted with one penalty under strict/reference")
    n_groups: Literal[2, 4, 8, 16, 32] = Field(
        8, description="groups of train stories that are resampled; where there are fewer stories, fewer groups"
    )
    top_k: int = Field(10, ge=1, description="questions listed for each voxel")
    cluster_r: float = Field(0.5, gt=0, lt=1, description="mean |r| above which clusters of questions are joined")
    n_maps: int = Field(1, ge=0, description="questions shown on the cortex of each subject: those that add most")
    seed: int = 0
