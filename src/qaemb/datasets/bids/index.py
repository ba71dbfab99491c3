"""Which files of a BIDS folder belong together: the runs of each subject and story, and what goes with them.

A file's name says what it is: `sub-01_ses-2_task-pie_run-1_space-fsaverage5_hemi-L_bold.func.gii` has the entities sub,
ses, task, run, space and hemi and the suffix bold. What goes with an image has the same entities, but for those of the
image itself; events and the raw run's JSON may also stand higher up, with fewer entities (BIDS inheritance).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from qaemb.errors import BadInput
from qaemb.files import read_json
from qaemb.settings.base import Section

_Entities = dict[str, str]

_NATIVE = "native"  # what the space of an image is called whose name has none
_OF_THE_IMAGE = ("space", "res", "den", "cohort", "hemi", "desc")
_IN_STORY = ("acq", "ce", "rec", "dir", "echo", "part")
_VOLUMES, _SURFACES = "_desc-preproc_bold.nii.gz", "_bold.func.gii"


class BidsSettings(Section):
    """Section `dataset.bids` of params.yaml: how events and fMRIPrep's outputs are read."""

    derivatives: Path | None = Field(
        None, description="fMRIPrep's outputs, under dataset.path; default: derivatives/fmriprep if there, else all"
    )
    space: str | None = Field(None, description="the space of the images; needed if there are several")
    mask: Path | None = Field(None, description="a mask for all runs, under dataset.path; default: the runs' own")
    exclude: list[str] = Field([], description="runs to leave out, as patterns of file names: `sub-03_task-pie_*`")
    story: Literal["task", "run"] = Field(
        "task", description="task: a task is a story, further runs of it are repeats; run: every run is a story"
    )
    word_column: str = Field("word", description="column of the events that holds the words")
    trial_type: str = Field("word", description="only events of this trial_type are words, if any has it")
    onset_tolerance_s: float = Field(0.1, ge=0, description="how far the runs of a story may differ in word onsets")
    length_tolerance: int = Field(
        5, ge=0, description="TRs by which runs of a story may differ; they are cut to the shortest"
    )
    trim: tuple[int, int] = Field((0, 0), description="TRs to leave out at the start and the end of every run")
    detrend: bool = Field(True, description="take out a straight line")
    high_pass_hz: float | None = Field(0.008, gt=0, description="take out slower cosines; null: don't")
    confounds: list[str] = Field([], description="columns of fMRIPrep's confounds to take out")
    standardize: bool = Field(True, description="mean 0 and variance 1 per run and voxel")

    @model_validator(mode="after")
    def _trim_is_not_negative(self) -> BidsSettings:
        if min(self.trim) < 0:
            raise ValueError("`trim` counts TRs to leave out, 0 or more")
        return self


@dataclass(frozen=True)
class Run:
    """One scan: subject as in `sub-01`, story, one NIfTI or the GIFTIs of the left and the right hemisphere."""

    subject: str
    story: str
    entities: _Entities
    space: str
    images: tuple[Path, ...]

    @property
    def is_surface(self) -> bool:
        """Whether the images are GIFTIs."""
        return self.images[0].name.endswith(".gii")


class BidsIndex:
    """The files of a BIDS folder by what their names say; contents are not looked at."""

    def __init__(self, folder: Path, settings: BidsSettings) -> None:
        self.folder, self.settings = folder, settings
        if not folder.is_dir():
            raise BadInput(f"{folder} is not there; set dataset.path to a BIDS folder")
        self.derivatives = self._find_derivatives()
        self._by_ending: dict[str, list[Path]] = {}

    @cached_property
    def runs(self) -> dict[tuple[str, str], list[Run]]:
        """The runs in the space of the settings by subject and story, in order of session and run; BadInput for none.

        An image that is only a link to a file that was never fetched is left out.
        """
        images: dict[tuple[str, tuple[tuple[str, str], ...]], list[Path]] = defaultdict(list)
        for path in self.image_paths:
            names = _entities(path)
            if path.exists() and names.get("sub") and names.get("task"):
                images[names.get("space", _NATIVE), _key(names)].append(path)
        space = self._choose_space({space for space, _ in images})
        runs = defaultdict(list)
        for (image_space, key), paths in sorted(images.items()):
            if image_space == space:
                run = _make_run(dict(key), space, paths, self.settings)
                runs[run.subject, run.story].append(run)
        return dict(runs)

    @cached_property
    def image_paths(self) -> list[Path]:
        """All preprocessed images, fetched or not, that the settings don't exclude."""
        paths = [p for ending in (_VOLUMES, _SURFACES) for p in sorted(self.derivatives.rglob(f"sub-*{ending}"))]
        return [path for path in paths if not any(fnmatch(path.name, pattern) for pattern in self.settings.exclude)]

    def events(self, run: Run) -> Path:
        """Return the events of a run; BadInput if no file's entities fit."""
        path = _most_specific(self._files("_events.tsv"), run.entities)
        if path is None:
            raise BadInput(
                f"{self.folder} holds no events for {run.images[0].name}: neither next to the raw run nor, for all "
                f"subjects, task-{run.entities['task']}_events.tsv; add one or exclude the run (dataset.bids.exclude)"
            )
        return path

    def described(self, run: Run, key: str) -> float | None:
        """Return a number from the JSON files of a run, the image's own before the raw run's; None if none has it."""
        for path in self._sidecars(run):
            values = read_json(path)
            value = values.get(key) if isinstance(values, dict) else None
            if isinstance(value, int | float):
                return float(value)
        return None

    def mask(self, run: Run) -> Path:
        """Return the brain mask that fMRIPrep wrote with a run; BadInput if there is none."""
        path = run.images[0]
        mask = path.with_name(path.name.replace(_VOLUMES, "_desc-brain_mask.nii.gz"))
        if not mask.exists():
            raise BadInput(f"{mask} does not exist; fetch it, or name a mask for all runs in dataset.bids.mask")
        return mask

    def confounds(self, run: Run) -> Path:
        """Return the confounds that fMRIPrep wrote with a run; BadInput if there are none."""
        fitting = [
            path
            for suffix in ("timeseries", "regressors")
            for path in self._files(f"_desc-confounds_{suffix}.tsv")
            if dict(_key(_entities(path))) == run.entities
        ]
        if not fitting:
            raise BadInput(f"{self.derivatives} holds no desc-confounds_timeseries.tsv for {run.images[0].name}")
        return fitting[0]

    def _find_derivatives(self) -> Path:
        if self.settings.derivatives is not None:
            folder = self.folder / self.settings.derivatives
            if not folder.is_dir():
                raise BadInput(f"{folder} is not there; correct dataset.bids.derivatives")
            return folder
        usual = self.folder / "derivatives" / "fmriprep"
        return usual if usual.is_dir() else self.folder

    def _choose_space(self, spaces: set[str]) -> str:
        space = self.settings.space
        if space is None and len(spaces) == 1:
            return next(iter(spaces))
        if space in spaces:
            return str(space)
        if not spaces:
            raise BadInput(
                f"{self.derivatives} holds no sub-*_task-*{_VOLUMES} and no sub-*_task-*{_SURFACES}; set dataset.path "
                "or dataset.bids.derivatives to where fMRIPrep wrote them"
            )
        problem = "holds images in several spaces" if space is None else f"holds no images in space {space}"
        raise BadInput(f"{self.derivatives} {problem}; set dataset.bids.space to one of: {', '.join(sorted(spaces))}")

    def _sidecars(self, run: Run) -> list[Path]:
        beside = run.images[0].with_name(run.images[0].name.split(".")[0] + ".json")
        raw = _most_specific([p for p in self._files("_bold.json") if "space" not in _entities(p)], run.entities)
        return [path for path in (beside, raw) if path is not None and path.exists()]

    def _files(self, ending: str) -> list[Path]:
        if ending not in self._by_ending:
            self._by_ending[ending] = sorted(self.folder.rglob(f"*{ending}"))
        return self._by_ending[ending]


def _entities(path: Path) -> _Entities:
    """Return the entities of a file's name.

    >>> _entities(Path("sub-01_task-pie_bold.nii.gz"))
    {'sub': '01', 'task': 'pie'}
    """
    parts = path.name.split("_")[:-1]
    return dict(part.split("-", 1) for part in parts if "-" in part)


def _story_of(names: _Entities, settings: BidsSettings) -> str:
    """Return the story's name: the task, what tells variants of it apart, and the run where runs are stories."""
    keys = _IN_STORY if settings.story == "task" else (*_IN_STORY, "run")
    return "_".join([names["task"], *(f"{key}-{names[key]}" for key in keys if key in names)])


def _key(names: _Entities) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in names.items() if key not in _OF_THE_IMAGE))


def _make_run(names: _Entities, space: str, paths: list[Path], settings: BidsSettings) -> Run:
    hemispheres = [_entities(path).get("hemi") for path in paths]
    if hemispheres not in ([None], ["L", "R"]):
        raise BadInput(
            f"{paths[0].parent} should hold one image of a run in a space, or one of each hemisphere, but holds: "
            f"{', '.join(path.name for path in paths)}; exclude some (dataset.bids.exclude)"
        )
    return Run(f"sub-{names['sub']}", _story_of(names, settings), names, space, tuple(paths))


def _most_specific(paths: Iterable[Path], names: _Entities) -> Path | None:
    """Return the file that shares most of these entities and has no others."""
    fitting = [path for path in paths if _entities(path).items() <= names.items()]
    return max(fitting, key=lambda path: len(_entities(path)), default=None)
