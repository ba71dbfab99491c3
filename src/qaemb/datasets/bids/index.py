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

from qaemb.errors import BadInput
from qaemb.files import read_json
from qaemb.settings import BidsSettings

Entities = dict[str, str]

NATIVE = "native"
"""What the space of an image is called whose name has none."""

_OF_THE_IMAGE = ("space", "res", "den", "cohort", "hemi", "desc")
_IN_STORY = ("acq", "ce", "rec", "dir", "echo", "part")
_VOLUMES, _SURFACES = "_desc-preproc_bold.nii.gz", "_bold.func.gii"


@dataclass(frozen=True)
class Run:
    """One scan: subject as in `sub-01`, story, one NIfTI or the GIFTIs of the left and the right hemisphere."""

    subject: str
    story: str
    entities: Entities
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

    @cached_property
    def runs(self) -> dict[tuple[str, str], list[Run]]:
        """The runs in the chosen space by subject and story, in order of session and run; BadInput if there are none.

        An image that is only a link to a file that was never fetched is left out.
        """
        images: dict[tuple[str, tuple[tuple[str, str], ...]], list[Path]] = defaultdict(list)
        for path in self.image_paths:
            own = entities(path)
            if path.exists() and own.get("sub") and own.get("task"):
                images[own.get("space", NATIVE), _key(own)].append(path)
        space = self._choose_space({space for space, _ in images})
        runs = defaultdict(list)
        for (of, key), paths in sorted(images.items()):
            if of == space:
                run = _make_run(dict(key), space, paths, self.settings)
                runs[run.subject, run.story].append(run)
        return dict(runs)

    @cached_property
    def image_paths(self) -> list[Path]:
        """All preprocessed images, fetched or not, that the settings don't exclude."""
        found = [p for ending in (_VOLUMES, _SURFACES) for p in sorted(self.derivatives.rglob(f"sub-*{ending}"))]
        return [path for path in found if not any(fnmatch(path.name, pattern) for pattern in self.settings.exclude)]

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
            if dict(_key(entities(path))) == run.entities
        ]
        if not fitting:
            raise BadInput(f"{self.derivatives} holds no desc-confounds_timeseries.tsv for {run.images[0].name}")
        return fitting[0]

    def _find_derivatives(self) -> Path:
        if self.settings.derivatives is not None:
            chosen = self.folder / self.settings.derivatives
            if not chosen.is_dir():
                raise BadInput(f"{chosen} is not there; correct dataset.bids.derivatives")
            return chosen
        usual = self.folder / "derivatives" / "fmriprep"
        return usual if usual.is_dir() else self.folder

    def _choose_space(self, spaces: set[str]) -> str:
        wanted = self.settings.space
        if wanted is None and len(spaces) == 1:
            return next(iter(spaces))
        if wanted in spaces:
            return str(wanted)
        if not spaces:
            raise BadInput(
                f"{self.derivatives} holds no sub-*_task-*{_VOLUMES} and no sub-*_task-*{_SURFACES}; set dataset.path "
                "or dataset.bids.derivatives to where fMRIPrep wrote them"
            )
        problem = "holds images in several spaces" if wanted is None else f"holds no images in space {wanted}"
        raise BadInput(f"{self.derivatives} {problem}; set dataset.bids.space to one of: {', '.join(sorted(spaces))}")

    def _sidecars(self, run: Run) -> list[Path]:
        own = run.images[0].with_name(run.images[0].name.split(".")[0] + ".json")
        raw = _most_specific([p for p in self._files("_bold.json") if "space" not in entities(p)], run.entities)
        return [path for path in (own, raw) if path is not None and path.exists()]

    def _files(self, ending: str) -> list[Path]:
        if ending not in self._found:
            self._found[ending] = sorted(self.folder.rglob(f"*{ending}"))
        return self._found[ending]

    @cached_property
    def _found(self) -> dict[str, list[Path]]:
        return {}


def entities(path: Path) -> Entities:
    """Return the entities of a file's name.

    >>> entities(Path("sub-01_task-pie_bold.nii.gz"))
    {'sub': '01', 'task': 'pie'}
    """
    parts = path.name.split("_")[:-1]
    return dict(part.split("-", 1) for part in parts if "-" in part)


def story_of(own: Entities, settings: BidsSettings) -> str:
    """Return the story's name: the task, what tells variants of it apart, and the run where runs are stories."""
    kept = _IN_STORY if settings.story == "task" else (*_IN_STORY, "run")
    return "_".join([own["task"], *(f"{key}-{own[key]}" for key in kept if key in own)])


def _key(own: Entities) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in own.items() if key not in _OF_THE_IMAGE))


def _make_run(own: Entities, space: str, paths: list[Path], settings: BidsSettings) -> Run:
    hemispheres = [entities(path).get("hemi") for path in paths]
    if hemispheres not in ([None], ["L", "R"]):
        raise BadInput(
            f"{paths[0].parent} should hold one image of a run in a space, or one of each hemisphere, but holds: "
            f"{', '.join(path.name for path in paths)}; exclude some (dataset.bids.exclude)"
        )
    return Run(f"sub-{own['sub']}", story_of(own, settings), own, space, tuple(paths))


def _most_specific(paths: Iterable[Path], wanted: Entities) -> Path | None:
    """Return the file that shares most entities with the wanted ones and has no others."""
    fitting = [path for path in paths if entities(path).items() <= wanted.items()]
    return max(fitting, key=lambda path: len(entities(path)), default=None)
