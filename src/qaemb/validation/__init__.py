"""Is an answer matrix fit for use? Rules run by Great Expectations, and grades against gold annotations."""

from qaemb.validation.checkpoint import Outcome, check, failure_message
from qaemb.validation.evaluation import grade
from qaemb.validation.rules import Matrix, summarise, tables_to_check

__all__ = [
    "Matrix",
    "Outcome",
    "check",
    "failure_message",
    "grade",
    "summarise",
    "tables_to_check",
]
