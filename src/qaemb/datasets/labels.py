"""Which labels of a transcript are words."""

from __future__ import annotations

# Marks of ds003020's transcripts for silence, breath, laughter, lip smack and noise, and for the ends of a sentence.
NOISE_LABELS = frozenset({"sentence_start", "sentence_end", "br", "lg", "ls", "ns", "sp"})


def clean_word(label: str) -> str | None:
    """Return the word of a label in lower case, or None where the label is empty or marks a noise or a silence.

    >>> [clean_word(label) for label in ("Don't", "{LG}", "sp", " ")]
    ["don't", None, None, None]
    """
    word = label.strip().strip("{}").strip().lower()
    return None if not word or word in NOISE_LABELS else word
