"""Is an answer matrix fit for use? Rules run by Great Expectations, and grades against gold annotations."""

from qaemb.validation.checkpoint import Outcome, check
from qaemb.validation.grades import grade
from qaemb.validation.result import expectations, failure_message, failures
from qaemb.validation.rules import Matrix, tables_to_check
from qaemb.validation.summary import summarise

__all__ = [
    "Matrix",
    "Outcome",
    "check",
    "expectations",
    "failure_message",
    "failures",
    "grade",
    "summarise",
    "tables_to_check",
]
