"""imodelsX's QAEmb as a worker: `python -m benchmarks.answers.imodelsx_script MODEL_FOLDER` in its own environment.

Its prompt is left at its default and its cache is off. Of a call's prompts it pads 8 x `batch_size` to one length and
runs them as one batch, so that is what is tried out. Its answers are 0 or 1: whether one greedy token contains "yes".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks.answers.serving import serve, timed


def start() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Load the model and return what answers requests."""
    import torch
    from imodelsx.qaemb.qaemb import QAEmb

    torch.set_num_threads(1)
    embedder = QAEmb([], checkpoint=sys.argv[1], use_cache=False, CACHE_DIR=None)

    def handle(request: dict[str, Any]) -> dict[str, Any]:
        embedder.questions, embedder.batch_size = request["questions"], request["batch_size"]
        done = timed(lambda: embedder(request["texts"], verbose=False))
        prompts = [
            embedder.prompt.format(example=text, question=question)
            for text in request["texts"]
            for question in request["questions"]
        ]
        tokens = sum(map(len, embedder.llm.tokenizer_(prompts)["input_ids"]))
        answers = done.pop("result")
        return {**done, "share_of_yes": float(answers.mean()), "tokens_per_cell": tokens / len(prompts)}

    return handle


if __name__ == "__main__":
    serve(["imodelsx", "torch", "transformers"], start)
