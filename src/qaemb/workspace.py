"""Where every stage reads and writes, relative to the project's root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The project's folder tree. The one place that knows file names between stages."""

    root: Path = Path(".")

    @property
    def work(self) -> Path:
        return self.root / "data" / "work"

    @property
    def miniature(self) -> Path:
        return self.work / "miniature"

    @property
    def dataset(self) -> Path:
        return self.work / "dataset"

    @property
    def questions(self) -> Path:
        return self.work / "questions"

    @property
    def designs(self) -> Path:
        return self.work / "designs"

    @property
    def selected(self) -> Path:
        return self.root / "data" / "selected"

    @property
    def feature_repo(self) -> Path:
        return self.root / "feature_repo"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def mlruns(self) -> Path:
        return self.root / "mlruns"

    def segments(self, segmentation: str) -> Path:
        return self.work / "segments" / segmentation

    def model(self, name: str) -> Path:
        return self.work / "models" / name

    def answers(self, job: str) -> Path:
        return self.work / "answers" / job

    def validation(self, job: str) -> Path:
        return self.work / "validation" / job

    def features(self, space: str) -> Path:
        return self.work / "features" / space

    def encoding(self, name: str) -> Path:
        return self.work / "encoding" / name

    def selection(self, space: str) -> Path:
        return self.work / "selection" / space

    def metrics(self, stage: str, item: str) -> Path:
        return self.reports / "metrics" / stage / f"{item}.json"
