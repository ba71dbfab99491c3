"""Stage `segments`: cut the words of the data set into the segments that are asked about."""

from __future__ import annotations

from qaemb.errors import BadParameter
from qaemb.files import atomic_folder, read_table, write_table
from qaemb.settings import Settings
from qaemb.stimuli.segments import segment_tables
from qaemb.workspace import Workspace


def segments(settings: Settings, workspace: Workspace, segmentation: str) -> None:
    """Write `segments.parquet` and `occurrences.parquet` of one segmentation of params.yaml.

    BadParameter if the segmentation is not in the section `segments`; BadInput if the data set's tables are missing or
    a story has no words.
    """
    if segmentation not in settings.segments:
        known = ", ".join(settings.segments)
        raise BadParameter(f"no segmentation `{segmentation}` in params.yaml, section segments; there are: {known}")
    words, stories, sentences = (
        read_table(workspace.dataset / f"{name}.parquet") for name in ("words", "stories", "sentences")
    )
    texts, occurrences = segment_tables(words, stories, sentences, settings.segments[segmentation])
    with atomic_folder(workspace.segments(segmentation)) as folder:
        write_table(folder / "segments.parquet", texts)
        write_table(folder / "occurrences.parquet", occurrences)
    print(f"segments {segmentation}: {len(texts)} segments, {len(occurrences)} occurrences")
