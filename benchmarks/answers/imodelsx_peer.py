"""imodelsX's QAEmb as a contestant, in its own environment; it answers 0 or 1 under its own prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.answers.cases import LONG, Asked
from benchmarks.answers.timing import Timed
from benchmarks.answers.worker import Command, Worker

_SIZES, _LONG_SIZES = (2, 8, 16), (1, 4, 8)  # its `batch_size`: an eighth of the prompts that it runs at once


class Imodelsx:
    """Finds its batch size for each length of texts on a sample. QaembError where its environment is missing."""

    def __init__(self, folder: Path, python: Path, log: Path) -> None:
        self._command = Command(
            name="imodelsx",
            python=python,
            arguments=("-m", "benchmarks.answers.imodelsx_script", str(folder)),
            way_out="`make build/imodelsx-venv/.installed` makes its environment; `--without imodelsx` leaves it out",
        )
        self._command.check()
        self._log = log
        self._worker: Worker | None = None
        self._sizes: dict[int, int] = {}
        self._about: dict[str, Any] = {}

    def prepare(self, sample: Asked) -> None:
        """Start the process, and try all batch sizes for texts of a new length."""
        if self._worker is None:
            self._worker = Worker(self._command, {"TQDM_DISABLE": "1"}, self._log)
            self._about = dict(self._worker.hello)
        if sample.words not in self._sizes:
            self._run(sample.first(1), 1)
            sizes = _LONG_SIZES if sample.words == LONG else _SIZES
            speeds = {size: self._run(sample, size).cells_per_core_s for size in sizes}
            self._sizes[sample.words] = max(speeds, key=lambda size: speeds[size])

    def answer(self, asked: Asked) -> Timed:
        """Answer at the best batch size."""
        return self._run(asked, self._sizes[asked.words])

    def about(self) -> dict[str, Any]:
        """Return versions and batch sizes."""
        sizes = {f"{words} words": size for words, size in self._sizes.items()}
        return {"dtype": "float32", "prompt": "its default", "batch_size": sizes, **self._about}

    def close(self) -> None:
        """End the process."""
        if self._worker:
            self._worker.close()
        self._worker = None

    def _run(self, asked: Asked, size: int) -> Timed:
        if self._worker is None:
            raise RuntimeError("prepare() comes first")
        reply = self._worker.ask({"texts": asked.texts, "questions": asked.questions, "batch_size": size})
        extra = {key: reply[key] for key in ("share_of_yes", "tokens_per_cell")}
        return Timed(asked.n_cells, reply["cpu_s"], reply["wall_s"], extra=extra)
