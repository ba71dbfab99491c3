"""Models on disk and in memory: folders with digests, encoders, causal models, adapters, vectors kept by content."""
