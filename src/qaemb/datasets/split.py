"""Which stories are trained on and which are tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qaemb.datasets.source import Source
from qaemb.errors import BadInput, BadParameter


@dataclass(frozen=True)
class Split:
    """Subjects, and stories in the order in which they are written: train stories, then test stories."""

    subjects: list[str]
    train: list[str]
    test: list[str]

    @property
    def stories(self) -> list[str]:
        """All stories."""
        return self.train + self.test


def choose_stories(
    source: Source, subjects: list[str], test: list[str], train: list[str] | Literal["all", "shared"]
) -> Split:
    """Return the split: `test` as listed; `train` as listed, or all other stories, or those that all subjects share.

    `all` means every story that at least one subject heard and that is not kept for testing, by `test` or by the
    source. BadParameter if a name is unknown, listed twice or in both splits; BadInput if a subject lacks a test story
    or nothing is left to train on. A train story may be missing for some subjects.
    """
    _require_known("dataset.subjects", subjects, source.subjects())
    _require_known("dataset.test_stories", test, source.stories())
    for subject in subjects:
        lacking = [story for story in test if not source.has(subject, story)]
        if lacking:
            raise BadInput(f"{subject} has no responses to test story {lacking[0]}; take the story or the subject out")
    if isinstance(train, list):
        _require_known("dataset.train_stories", train, source.stories())
        both = [story for story in train if story in test]
        if both:
            raise BadParameter(f"dataset.train_stories: {both[0]} is a test story too; take it out of one list")
    else:
        enough = all if train == "shared" else any
        others = [story for story in source.stories() if story not in test and story not in source.held_out()]
        train = [story for story in others if enough(source.has(subject, story) for subject in subjects)]
    heard = {subject for subject in subjects if any(source.has(subject, story) for story in train)}
    for subject in subjects:
        if subject not in heard:
            raise BadInput(f"{subject} has no responses to any train story; see dataset.train_stories")
    return Split(subjects, train, test)


def _require_known(key: str, names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise BadParameter(f"{key}: `{name}` is not in the data set; there are: {', '.join(known) or 'none'}")
    if len(set(names)) < len(names):
        raise BadParameter(f"{key}: a name is there twice: {', '.join(names)}")
