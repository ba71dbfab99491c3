"""Question selection: which few questions carry most of what a space predicts."""
