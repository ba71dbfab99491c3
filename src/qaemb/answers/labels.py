"""Which tokens mean yes and no, and margin and mass from a model's logits at the last position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qaemb.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

_SPACES = ("", "Ġ", "▁")  # no space; a space in byte-level vocabularies; a space in SentencePiece vocabularies


@dataclass(frozen=True)
class Labels:
    """Sorted token ids of all one-token spellings of yes and of no."""

    yes: tuple[int, ...]
    no: tuple[int, ...]


def find_labels(tokenizer: PreTrainedTokenizerBase, yes: str, no: str) -> Labels:
    """Return the tokens that spell a label: as written, lower case, upper case, capitalised, with and without a space.

    Only spellings that are one token count, as only one token is looked at. BadInput if a label has none.
    """
    vocabulary = tokenizer.get_vocab()
    found = Labels(_spellings(yes, vocabulary), _spellings(no, vocabulary))
    for label, ids in ((yes, found.yes), (no, found.no)):
        if not ids:
            raise BadInput(f"label `{label}` is not one token of this model in any spelling; choose another label")
    if set(found.yes) & set(found.no):
        raise BadInput(f"labels `{yes}` and `{no}` are the same token")
    return found


def margin_and_mass(logits: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Return margin (n,) = logsumexp(yes) - logsumexp(no) and mass (n,) = P(yes) + P(no), float32.

    `logits` (n, vocabulary) are those of the last position; the mass is over the full vocabulary's softmax.
    """
    logits = logits.float()
    yes = logits[:, list(labels.yes)].logsumexp(1)
    no = logits[:, list(labels.no)].logsumexp(1)
    mass = (yes.logaddexp(no) - logits.logsumexp(1)).exp()
    return yes - no, mass.clamp(max=1.0)


def _spellings(label: str, vocabulary: dict[str, int]) -> tuple[int, ...]:
    words = {label, label.lower(), label.upper(), label.capitalize()}
    return tuple(sorted({vocabulary[s + word] for s in _SPACES for word in words if s + word in vocabulary}))
