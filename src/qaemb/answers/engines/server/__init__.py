"""Engine `server`: any OpenAI-compatible server, by `/completions` or `/chat/completions`."""
