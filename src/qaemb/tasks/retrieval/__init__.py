"""Retrieval tasks: reading sets, learning weights of questions from judgements, and evaluating rankings."""

from qaemb.tasks.retrieval.evaluate import evaluate_retrieval
from qaemb.tasks.retrieval.sets import RetrievalSet, read_retrieval

__all__ = ["RetrievalSet", "evaluate_retrieval", "read_retrieval"]
