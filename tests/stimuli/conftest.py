"""Words in time made by hand, as the tables of the data set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from qaemb.stimuli.segments import StoryWords


@pytest.fixture
def story_of() -> Callable[..., StoryWords]:
    def make(words: str, onset_s, offset_s, n_trs=3, first_tr_s=1.0, sentences=()) -> StoryWords:
        onset, offset = np.array(onset_s, dtype=float), np.array(offset_s, dtype=float)
        return StoryWords(words.split(), onset, offset, n_trs, 2.0, first_tr_s, list(sentences))

    return make


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """Two stories, the first with a transcript; the words of both partly the same."""
    words = pd.DataFrame(
        [
            *(("a", i, word, 0.5 * i, 0.5 * i + 0.5) for i, word in enumerate(["so", "we", "went", "so", "we"])),
            *(("b", i, word, 1.0 * i, 1.0 * i + 0.4) for i, word in enumerate(["so", "we", "did"])),
        ],
        columns=["story", "index", "word", "onset_s", "offset_s"],
    )
    stories = pd.DataFrame(
        {"story": ["b", "a"], "split": ["train", "test"], "n_trs": [2, 2], "tr_s": 2.0, "first_tr_s": 1.0}
    )
    sentences = pd.DataFrame(
        [("a", 0, 0, 2, "So we went."), ("a", 1, 3, 4, "So we!")],
        columns=["story", "index", "first_word", "last_word", "text"],
    )
    return {"words": words, "stories": stories, "sentences": sentences}
