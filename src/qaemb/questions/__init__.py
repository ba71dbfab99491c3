"""The question bank: yes/no questions in families, their checks, and the ordered sets that stages name."""

from qaemb.questions.bank import BankEntry, Question, QuestionSet, Rejection, load_bank
from qaemb.questions.screening import screen
from qaemb.questions.sets import adopt, load_sets, read_set_file
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
