"""Settings of question selection (stage `select`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from qaemb.settings.base import Section

SelectionMethod = Literal["elastic_net", "stability", "greedy"]


class SelectSettings(Section):
    """Question selection on one QA space (stage `select`)."""

    spaces: list[str]
    methods: list[SelectionMethod] = Field(["elastic_net"], min_length=1, description="the set is chosen by the first")
    l1_ratio: float = Field(0.9, gt=0, le=1)
    n_alphas: int = Field(20, ge=2)
    alpha_min_ratio: float = Field(0.02, gt=0, lt=1, description="smallest penalty as a share of the largest")
    sizes: list[int] = Field([], description="set sizes to score; empty: those that the elastic net's path visits")
    n_resamples: int = Field(20, ge=2, description="stability: halves of the train stories")
    stable_share: float = Field(0.9, gt=0.5, le=1, description="stability: share of halves that must keep a question")
    greedy_voxels: int = Field(1000, ge=1, description="greedy: voxels per subject, drawn at random, it is scored on")
    n_random: int = Field(5, ge=1, description="random subsets per size")
    seed: int = 0

    @field_validator("methods")
    @classmethod
    def _different(cls, methods: list[SelectionMethod]) -> list[SelectionMethod]:
        if len(set(methods)) < len(methods):
            raise ValueError(f"{', '.join(methods)}: name each method once")
        return methods
