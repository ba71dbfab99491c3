"""Engine `vllm` as a contestant: a process in vLLM's environment, with one engine for all prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answers.cases import Asked
from benchmarks.answers.timing import Timed
from benchmarks.answers.worker import ROOT, Command, Worker


class Vllm:
    """Starts its process when it first gets ready. QaembError where its environment is missing."""

    def __init__(self, folder: Path, python: Path, log: Path) -> None:
        self._command = Command(
            name="vllm",
            python=python,
            arguments=("-m", "benchmarks.answers.vllm_script", str(folder)),
            way_out="`make test-vllm` makes its environment; `--without vllm` leaves it out",
        )
        self._command.check()
        self._log = log
        self._worker: Worker | None = None
        self._about: dict[str, Any] = {}

    def prepare(self, sample: Asked) -> None:
        """Start the process, and answer a few cells."""
        if self._worker is None:
            self._worker = Worker(self._command, {"PYTHONPATH": str(ROOT / "src")}, self._log)
            self._about = dict(self._worker.hello)
        self.answer(Asked(sample.prompt, sample.words, sample.texts[:2], sample.questions[:2]))

    def answer(self, asked: Asked) -> Timed:
        """Answer; the extra is the share of this call's prompt tokens that came from the prefix cache."""
        if self._worker is None:
            raise RuntimeError("prepare() comes first")
        reply = self._worker.ask({"prompt": asked.prompt, "texts": asked.texts, "questions": asked.questions})
        margin = np.array(reply["result"], np.float32)
        extra = {"prefix_hit_rate": reply["prefix_hit_rate"]}
        return Timed(asked.n_cells, reply["cpu_s"], reply["wall_s"], margin, extra)

    def about(self) -> dict[str, Any]:
        """Return versions."""
        return {"engine": "vllm", "dtype": "float32", **self._about}

    def close(self) -> None:
        """End the process."""
        if self._worker:
            self._worker.close()
        self._worker = None
