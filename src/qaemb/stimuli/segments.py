"""The tables of a segmentation: which texts there are (segments), and where each one stands (occurrences)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from qaemb.errors import BadInput
from qaemb.identity import text_id
from qaemb.settings import SegmentationSettings
from qaemb.stimuli.marks import CLOSE, OPEN, has_mark
from qaemb.stimuli.segmentation import SEGMENTATIONS, StoryWords


def story_words(
    words: pd.DataFrame, stories: pd.DataFrame, sentences: pd.DataFrame
) -> Iterator[tuple[str, StoryWords]]:
    """Yield name and words of each story in the order of `stories`; BadInput names a story without words.

    The tables are the data set's words, stories and sentences.
    """
    words_of = {str(name): own for name, own in words.groupby("story", sort=False)}
    sentences_of = {str(name): own for name, own in sentences.groupby("story", sort=False)}
    for row in stories.to_dict("records"):
        name = row["story"]
        if name not in words_of:
            raise BadInput(f"story {name} has no words; run the stage `dataset` again or leave the story out")
        own = words_of[name].sort_values("index")
        spans = sentences_of.get(name, sentences.iloc[:0]).sort_values("index")
        yield (
            name,
            StoryWords(
                words=own["word"].tolist(),
                onset_s=own["onset_s"].to_numpy(np.float64),
                offset_s=own["offset_s"].to_numpy(np.float64),
                n_trs=int(row["n_trs"]),
                tr_s=float(row["tr_s"]),
                first_tr_s=float(row["first_tr_s"]),
                sentences=list(zip(spans["first_word"], spans["last_word"], spans["text"], strict=True)),
            ),
        )


def segment_tables(
    words: pd.DataFrame, stories: pd.DataFrame, sentences: pd.DataFrame, settings: SegmentationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables `segments` (segment_id, text) and `occurrences` (story, index, time_s, segment_id).

    A text that stands in several places is one segment, listed at its first occurrence. Occurrences are in the order
    of `stories` and, inside a story, of the index: word number, response row or sentence number. BadInput names the
    word that holds a mark itself, where segments are to be marked.
    """
    cut = SEGMENTATIONS[settings.kind]
    texts: dict[str, str] = {}
    ids: dict[str, str] = {}  # text -> id: hashes each text once, most of the work where many texts repeat
    tables = []
    for name, story in story_words(words, stories, sentences):
        if settings.mark:
            _refuse_marks(name, story)
        pieces = cut(story, settings)
        for text in pieces.text:
            if text not in ids:
                ids[text] = text_id(text)
                texts[ids[text]] = text
        table = pd.DataFrame({"story": name, "index": np.asarray(pieces.index, np.int32), "time_s": pieces.time_s})
        tables.append(table.assign(segment_id=[ids[text] for text in pieces.text]))
    segments = pd.DataFrame({"segment_id": list(texts), "text": list(texts.values())})
    return segments, pd.concat(tables, ignore_index=True)


def _refuse_marks(name: str, story: StoryWords) -> None:
    for kind, texts in (("word", story.words), ("sentence", [text for _, _, text in story.sentences])):
        for number, text in enumerate(texts):
            if has_mark(text):
                raise BadInput(
                    f"story {name}: {kind} number {number}, `{text}`, holds `{OPEN}` or `{CLOSE}`, marks of segments; "
                    "correct the transcript or set `mark: false` in the section segments"
                )
