"""Reading the annotated stories: `properties.yaml` and one text file a story.

A story file: the first line is `# title`, blank lines part paragraphs, every other line is one sentence, ` || ` and
the ids of the properties that are true of it, by spaces (`-` for none). ASCII, no digits: what is spoken is written
as words. Every error names the file and the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from qaemb.datasets.words import clean_word
from qaemb.errors import BadInput

_SEPARATOR = " || "
_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")
_PAUSING = set(",;:.!?()-")


@dataclass(frozen=True)
class _Sentence:
    """One annotated sentence: its text, its words in lower case, which of them a comma or the like follows."""

    text: str
    words: list[str]
    pauses: list[bool]
    properties: frozenset[str]
    ends_paragraph: bool


@dataclass(frozen=True)
class AnnotatedStory:
    """One story: the name of its file, its title, its sentences in order."""

    name: str
    title: str
    sentences: list[_Sentence]

    @property
    def words(self) -> list[str]:
        """All words in order."""
        return [word for sentence in self.sentences for word in sentence.words]


def read_properties(path: Path) -> pd.DataFrame:
    """Return the gold properties in order: property, question, rule; BadInput names the file and the entry."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; it lists the properties that sentences are annotated for") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is not valid YAML: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise BadInput(f"{path} should be a list of entries with id, question and rule")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not {"id", "question", "rule"} <= set(entry):
            raise BadInput(f"{path}, entry {number}: id, question and rule are needed")
    table = pd.DataFrame(entries).rename(columns={"id": "property"})[["property", "question", "rule"]]
    if not table["property"].is_unique:
        raise BadInput(f"{path}: property `{table['property'][table['property'].duplicated()].iloc[0]}` is there twice")
    return table


def read_stories(folder: Path, properties: list[str]) -> list[AnnotatedStory]:
    """Return all stories of a folder, by name; BadInput if there are none or one is wrong."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise BadInput(f"{folder} holds no story (*.txt)")
    return [_read_story(path, properties) for path in paths]


def _read_story(path: Path, properties: list[str]) -> AnnotatedStory:
    """Return one story; BadInput names the file and the line of what is wrong."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError as error:
        number = path.read_bytes()[: error.start].count(b"\n") + 1
        raise BadInput(f"{path}, line {number}: not ASCII; write plain quotes, hyphens and letters") from error
    if not lines or not re.fullmatch(r"# \S.*", lines[0]):
        raise BadInput(f"{path}, line 1: the first line should be `# title`")
    sentences = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            ends = number == len(lines) or not lines[number].strip()
            sentences.append(_read_sentence(f"{path}, line {number}", line, properties, ends))
    if not sentences:
        raise BadInput(f"{path}, line {len(lines)}: the story is empty, there is no sentence under its title")
    return AnnotatedStory(path.stem, lines[0][2:].strip(), sentences)


def _read_sentence(where: str, line: str, properties: list[str], ends_paragraph: bool) -> _Sentence:
    text, separator, listed = line.partition(_SEPARATOR)
    text = text.strip()
    if not separator:
        raise BadInput(f"{where}: ` || ` and the properties are missing after the sentence (` || -` for none)")
    names = [] if listed.split() == ["-"] else listed.split()
    if not listed.strip() or len(set(names)) < len(names):
        raise BadInput(f"{where}: list each true property once, or `-` for none")
    unknown = [name for name in names if name not in properties]
    if unknown:
        raise BadInput(f"{where}: unknown property `{unknown[0]}`; properties.yaml lists those that there are")
    if re.search(r"\d", text):
        raise BadInput(f"{where}: write numbers as words, as they are spoken")
    matches = list(_WORD.finditer(text))
    words = [match.group().lower() for match in matches]
    if not words:
        raise BadInput(f"{where}: the sentence has no words")
    lost = [word for word in words if clean_word(word) is None]
    if lost:
        raise BadInput(f"{where}: `{lost[0]}` marks a noise in a transcript and would be lost; use another word")
    ends = [match.start() for match in matches[1:]] + [len(text)]
    # A hyphen inside a word (`forty-two`) parts two words that are spoken without a pause.
    between = [text[match.end() : end] for match, end in zip(matches, ends, strict=True)]
    pauses = [gap != "-" and bool(_PAUSING & set(gap)) for gap in between]
    return _Sentence(text, words, pauses, frozenset(names), ends_paragraph)
