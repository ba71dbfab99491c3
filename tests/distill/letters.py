"""A tiny encoder that reads letters, and texts with a rule that heads on its frozen vectors can't learn."""

import functools
from pathlib import Path

import numpy as np
import pytest

from qaemb.answers.engines.student import StudentAnswerer
from qaemb.answers.students import Heads, KnownQuestion, Reader, Student, Trust, write_student
from qaemb.answers.students.reading import text_vectors
from qaemb.distill.cells import TeacherCells, split_groups
from qaemb.distill.finetune import Task
from qaemb.distill.grades import card
from qaemb.distill.heads import HeadSettings, fit_heads
from qaemb.models.adapter import Adapter
from qaemb.models.encoder import Encoder
from qaemb.models.folder import make_model
from qaemb.settings import AnswererSettings, FinetuneSettings, ModelSettings

QUESTIONS = ["Is there one of a and b alone?", "Is there one of c and d alone?"]
HEADS = HeadSettings(penalties=(1e-2, 1e-3, 1e-4))


def made_bert(factory: pytest.TempPathFactory) -> Path:
    """A model folder with a random two-layer BERT that reads letters."""
    source = factory.mktemp("source")
    save_bert(source)
    folder = factory.mktemp("models") / "bert"
    make_model("bert", ModelSettings(source="folder", path=source, kind="encoder"), folder)
    return folder


def save_bert(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdef"]
    BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)}).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.3, **sizes)
    BertModel(config).save_pretrained(folder)


@functools.cache
def planted(context: bool = False, n: int = 320, n_stories: int = 8) -> TeacherCells:
    """Texts of three letters and labels that no linear map of their letters gives.

    With context the text after one is the focus of the next, as with the TRs of a story.
    """
    rng = np.random.default_rng(0)
    letters = [list(rng.choice(list("abcdef"), 3, replace=False)) for _ in range(n)]
    labels = np.array([[("a" in own) != ("b" in own), ("c" in own) != ("d" in own)] for own in letters], np.float32)
    texts = [" ".join(own) for own in letters]
    if context:
        after = [*texts[1:], ""]
        texts = [f"[[{text}]] {next_one}".strip() for text, next_one in zip(texts, after, strict=True)]
    groups = [f"story{number * n_stories // n}" for number in range(n)]
    return TeacherCells(texts, QUESTIONS, labels, np.ones(labels.shape, bool), groups)


def vectors_by(encoder: Encoder, cells: TeacherCells, context: bool) -> np.ndarray:
    return text_vectors(cells.texts, context, encoder.embed, encoder.width)


def start(folder: Path, cells: TeacherCells, context: bool = False, head: HeadSettings = HEADS) -> Task:
    fit, held_out = split_groups(cells.groups, 0.25, 0)
    found = fit_heads(vectors_by(Encoder(folder, 1), cells, context), cells, fit, held_out, head)
    return Task(context, cells, fit, held_out, found.heads, found.penalty)


def course(**changes: object) -> FinetuneSettings:
    quick = {"epochs": 6, "batch_texts": 16, "learning_rate": 2e-2, "patience": 99, "threads": 1, "head_rate": 1e-2}
    return FinetuneSettings(**(quick | changes))


def held_out_margins(task: Task, folder: Path, adapter: Adapter | None, heads: Heads) -> np.ndarray:
    return heads.margins(vectors_by(Encoder(folder, 1, adapter), task.cells.rows(task.held_out), task.context))


def a_student(folder: Path, readers: list[Reader], adapter: Adapter | None) -> Student:
    known = [KnownQuestion(text, 0.8, 0.7, 0.9, 0.9, 0.1, 0.5, True) for text in QUESTIONS]
    encoder = {"name": "bert", "package": None, "version": None, "digest": Encoder(folder).info.digest}
    about = {"teacher": "rule"}
    return Student("tuned", encoder, tuple(known), tuple(readers), Trust(0.6, None), about, adapter)


def answers_of(student: Student, folder: Path, saved: Path, texts: list[str]) -> np.ndarray:
    write_student(student, saved, card(student, {}))
    settings = AnswererSettings(engine="student", model="bert", student=saved.as_posix())
    return StudentAnswerer(settings, folder).answer(texts, QUESTIONS).margin
