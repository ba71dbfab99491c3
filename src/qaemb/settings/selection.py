"""Settings of question selection (stage `select`)."""

from __future__ import annotations

from pydantic import Field

from qaemb.settings.base import Section


class SelectSettings(Section):
    """Question selection on one QA space (stage `select`)."""

    spaces: list[str]
    l1_ratio: float = Field(0.9, gt=0, le=1)
    n_alphas: int = Field(20, ge=2)
    alpha_min_ratio: float = Field(0.02, gt=0, lt=1, description="smallest penalty as a share of the largest")
    sizes: list[int] = Field([], description="set sizes to score; empty: those that the path visits")
    n_pcs: int = Field(100, ge=1, description="response components per subject that the path is fitted on")
    n_random: int = Field(5, ge=1, description="random subsets per size")
    seed: int = 0
