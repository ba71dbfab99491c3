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
        """Everything that stages generate."""
        return self.root / "data" / "work"

    @property
    def miniature(self) -> Path:
        """The generated default data set, in the layout of ds003020."""
        return self.work / "miniature"

    @property
    def dataset(self) -> Path:
        """Tables and responses of the data set in use."""
        return self.work / "dataset"

    @property
    def questions(self) -> Path:
        """The checked question bank and its sets, as tables."""
        return self.work / "questions"

    @property
    def answerers(self) -> Path:
        """Per answerer of a job: its key and all that is in it."""
        return self.work / "answerers"

    @property
    def designs(self) -> Path:
        """Per encoding model: its spaces and their digests."""
        return self.work / "designs"

    @property
    def selected(self) -> Path:
        """Question sets that `select` wrote."""
        return self.root / "data" / "selected"

    @property
    def students(self) -> Path:
        """Students that `distill` trained, a folder each."""
        return self.work / "students"

    @property
    def published(self) -> Path:
        """Answers that others bought, a folder each."""
        return self.root / "data" / "published"

    @property
    def references(self) -> Path:
        """Accepted versions of answers that new ones are compared with, a folder each."""
        return self.root / "data" / "references"

    @property
    def feature_repo(self) -> Path:
        """Feast's feature repository."""
        return self.root / "feature_repo"

    @property
    def reports(self) -> Path:
        """The report, its figures and the metrics of all stages."""
        return self.root / "reports"

    @property
    def mlruns(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlruns"

    def store(self, address: str) -> Path | str:
        """Return where the answer store is that `answers.store` names: a folder of the project, or a URL."""
        return address if "://" in address else self.root / address

    def vectors(self, address: str) -> Path:
        """Return the folder of cached vectors: in the store, or in data/store where that is not a folder."""
        store = self.store(address)
        return (store if isinstance(store, Path) else self.root / "data" / "store") / "vectors"

    def segments(self, segmentation: str) -> Path:
        """Segments and occurrences of one segmentation."""
        return self.work / "segments" / segmentation

    def model(self, name: str) -> Path:
        """A model's weights, tokenizer and digest."""
        return self.work / "models" / name

    def answers(self, job: str) -> Path:
        """The answer matrix of one job."""
        return self.work / "answers" / job

    def validation(self, job: str) -> Path:
        """What validation says about one job."""
        return self.work / "validation" / job

    def features(self, space: str) -> Path:
        """One feature space."""
        return self.work / "features" / space

    def encoding(self, name: str) -> Path:
        """Scores and weights of one encoding model."""
        return self.work / "encoding" / name

    def interpretation(self, name: str) -> Path:
        """What one encoding model means."""
        return self.work / "interpretation" / name

    def selection(self, space: str) -> Path:
        """The selection path on one space."""
        return self.work / "selection" / space

    def downstream(self, task: str) -> Path:
        """Scores and tables of one NLP task."""
        return self.work / "downstream" / task

    def metrics(self, stage: str, item: str) -> Path:
        """The numbers of one stage and item that `dvc metrics show` prints."""
        return self.reports / "metrics" / stage / f"{item}.json"

    def run_figures(self, stage: str, item: str) -> Path:
        """What the last run of a stage took: time, speed, cells bought. No DVC output, as each run has its own."""
        return self.reports / "runs" / stage / f"{item}.json"
