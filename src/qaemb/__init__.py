"""qaemb: readable text features, each an LLM's answer to one yes/no question (QA-Emb, arXiv 2405.16714)."""

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """Load `QAEmbedder` when it is asked for: scikit-learn takes a while."""
    if name == "QAEmbedder":
        from qaemb.embedder import QAEmbedder

        return QAEmbedder
    raise AttributeError(f"module `qaemb` has no attribute `{name}`")
