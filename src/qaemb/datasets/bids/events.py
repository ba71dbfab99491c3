"""Words from the events of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.datasets.csv_files import read_csv, read_numbers
from qaemb.datasets.labels import clean_word
from qaemb.datasets.words import require_usable
from qaemb.errors import BadInput
from qaemb.settings import BidsSettings


def read_events(path: Path, settings: BidsSettings) -> pd.DataFrame:
    """Return word (lower case), onset_s and offset_s, in seconds from the start of the run's first scan.

    A word is an event with something else than `n/a` in `word_column` and, where some event has the trial_type of the
    settings, with that trial_type. Noise marks are left out. The index counts the rows of the file. BadInput names file
    and row.
    """
    words = read_events_table(path, settings)
    require_usable(path, words)
    return words


def read_events_table(path: Path, settings: BidsSettings) -> pd.DataFrame:
    """Return the words as `read_events` does, whatever their order; BadInput names a row without times."""
    column = settings.word_column
    table = read_csv(path, ["onset", "duration"], separator="\t")
    if column not in table.columns:
        raise BadInput(
            f"{path} has no column `{column}` for the words; set dataset.bids.word_column to one of: "
            f"{', '.join(table.columns)}"
        )
    is_word = ~table[column].isin(["", "n/a"])
    if column != "trial_type" and "trial_type" in table.columns:
        of_type = table["trial_type"] == settings.trial_type
        is_word &= of_type | (not of_type.any())
    table = table[is_word]
    onset = read_numbers(path, table, "onset")
    words = pd.DataFrame({"word": table[column].map(clean_word), "onset_s": onset})
    words["offset_s"] = onset + read_numbers(path, table, "duration")
    return words[words["word"].notna()]


def require_same(path: Path, words: pd.DataFrame, other_path: Path, other: pd.DataFrame, tolerance_s: float) -> None:
    """Raise BadInput unless two runs of a story have the same words at the same times, within the tolerance."""
    if words["word"].tolist() != other["word"].tolist():
        raise BadInput(
            f"{path} and {other_path} are of one story but have different words; if they are different stories, set "
            "dataset.bids.story: run, or exclude one of the runs"
        )
    apart = np.abs(words["onset_s"].to_numpy() - other["onset_s"].to_numpy()).max()
    if apart > tolerance_s:
        raise BadInput(
            f"{path} and {other_path} are of one story but have onsets up to {apart:.3g} s apart, more than "
            f"dataset.bids.onset_tolerance_s ({tolerance_s:g}); cut the runs so that the story starts at the same scan"
        )
