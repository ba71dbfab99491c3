"""qaemb: readable text features, each an LLM's answer to one yes/no question (QA-Emb, arXiv 2405.16714)."""

__version__ = "0.1.0"
