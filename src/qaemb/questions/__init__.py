"""The question bank: yes/no questions in families, their checks, and the ordered sets that stages name."""

from qaemb.questions.adopt import adopt
from qaemb.questions.bank import load_bank
from qaemb.questions.model import BankEntry, Question, QuestionSet, Rejection
from qaemb.questions.screening import screen
from qaemb.questions.sets import load_sets, read_set_file
from qaemb.questions.tables import load_set, write_tables

__all__ = [
    "BankEntry",
    "Question",
    "QuestionSet",
    "Rejection",
    "adopt",
    "load_bank",
    "load_set",
    "load_sets",
    "read_set_file",
    "screen",
    "write_tables",
]
