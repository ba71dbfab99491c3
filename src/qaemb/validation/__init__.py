"""Is an answer matrix fit for use? Rules run by Great Expectations, and grades against gold annotations."""

from qaemb.validation.checkpoint import Outcome, check, expectations, failure_message, failures
from qaemb.validation.grades import grade
from qaemb.validation.rules import Matrix, summarise, tables_to_check

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
