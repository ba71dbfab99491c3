"""Stage `dataset`: read the source that params.yaml names into tables and one file of responses per subject."""

from __future__ import annotations

from qaemb.datasets.registry import open_source
from qaemb.datasets.split import choose_stories
from qaemb.datasets.write import write_dataset
from qaemb.files import atomic_folder
from qaemb.settings import Settings
from qaemb.workspace import Workspace


def dataset(settings: Settings, workspace: Workspace) -> None:
    """Write `data/work/dataset/`; a wrong source raises BadInput or BadParameter and leaves the old state."""
    section = settings.dataset
    source = open_source(section, workspace.root)
    split = choose_stories(source, section.subjects, section.test_stories, section.train_stories)
    with atomic_folder(workspace.dataset) as folder:
        summary = write_dataset(source, split, folder)
    lacking = [f"{subject} lacks {story}" for subject, of in summary["subjects"].items() for story in of["missing"]]
    print(
        f"dataset {section.name}: {len(split.train)} train and {len(split.test)} test stories, "
        f"{summary['words']} words, {summary['trs']} TRs, {len(split.subjects)} subjects"
        + (f" ({'; '.join(lacking)})" if lacking else "")
    )
