"""Feature spaces: named matrices per story and TR, made of answers, embeddings, annotations or counts."""
