"""Settings of the stage `validate`: what an answer matrix must satisfy, and how far it may drift from a reference."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qaemb.settings.answers import AnswersJob
from qaemb.settings.base import Section

_DEFAULT = "default"  # the entry of `drift` that all jobs inherit from


class DriftSettings(Section):
    """How far answers may move from a reference version of them (docs/drift.md)."""

    reference: str | None = Field(None, description="a folder of data/references; none: no check")
    on_drift: Literal["warn", "fail"] = Field("warn", description="fail: what follows does not run")
    alpha: float = Field(0.01, gt=0, lt=1, description="false discovery rate over questions and measures")
    max_rate_change: float = Field(0.1, ge=0, le=1, description="largest change of a question's yes rate")
    max_ks: float = Field(0.2, ge=0, le=1, description="largest Kolmogorov-Smirnov distance of its margins")
    max_mass_change: float = Field(0.1, ge=0, le=1, description="largest change of its mean mass")
    max_flipped: float = Field(0.2, ge=0, le=1, description="largest share of common texts with another yes/no")
    max_reordered: float = Field(0.5, ge=0, le=2, description="largest 1 - Spearman's rho of margins of common texts")
    max_new_constant: int = Field(0, ge=0, description="questions that got both answers and now get one")
    max_new_redundant: int = Field(0, ge=0, description="pairs of questions whose answers became the same")
    redundant_r: float = Field(0.95, gt=0, le=1, description="|Spearman's rho| at which answers count as the same")
    min_r_rise: float = Field(0.1, ge=0, le=1, description="and by how much it must have risen to count as new")


class ValidateSettings(Section):
    """What an answer matrix must satisfy (stage `validate`)."""

    margin_limit: float = Field(60.0, gt=0, description="largest |margin| in nats")
    min_mean_mass: float = Field(0.0, ge=0, le=1, description="lowest mean P(yes)+P(no) of a question")
    low_mass: float = Field(0.1, ge=0, le=1, description="cells below this mass are counted as not answering")
    min_sd: float = Field(1e-6, ge=0, description="a question whose margins vary less is constant")
    drift: dict[str, DriftSettings] = Field({}, description="by job, by question set, or `default`")

    def drift_of(self, name: str, job: AnswersJob) -> DriftSettings:
        """Return what holds for a job: its own entry over that of its question set over `default`, key by key."""
        entries = [self.drift[key] for key in (_DEFAULT, job.set, name) if key in self.drift]
        values = {key: value for entry in entries for key, value in entry.model_dump(exclude_unset=True).items()}
        return DriftSettings.model_validate(values)

    def unknown_drift(self, jobs: dict[str, AnswersJob]) -> list[str]:
        """Return the keys of `drift` that are neither a job, nor a question set of one, nor `default`."""
        names = {_DEFAULT, *jobs, *(job.set for job in jobs.values())}
        return [key for key in self.drift if key not in names]
