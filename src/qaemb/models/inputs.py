"""What models have in common: checks of texts and questions, CPU threads, and how much goes through in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from qaemb.errors import BadInput

_MAX_CELLS = 1024  # answers read in one pass: their logits over the whole vocabulary are held at one time
_HELD = 4  # tokens whose keys and values are held, as a multiple of the tokens in a pass
_START, _LEAST, _MOST = 1024, 256, 65_536  # tokens in a pass, when they are searched for
_TRIAL = 4  # passes that measure one size
_FASTER = 1.03  # a larger pass takes more memory, so it must pay


class PassSize:
    """Tokens in one pass: `fixed`, or found while answering, by climbing as long as passes get faster.

    Nothing is computed for the search: the passes of the job itself are timed.
    """

    def __init__(self, fixed: int | None) -> None:
        self.tokens = fixed or _START
        self._most = _MOST
        self._step = 2.0 if fixed is None else 0.0  # factor to the next size; 0: settled
        self._best: tuple[float, int] | None = None  # tokens per second, and the size that reached them
        self._done: list[tuple[int, float]] = []

    def record(self, tokens: int, seconds: float) -> None:
        """Tell how long a pass took. Passes that are not nearly full say nothing about a size."""
        if not self._step or tokens < 0.7 * self.tokens:
            return
        self._done.append((tokens, seconds))
        if len(self._done) == _TRIAL:
            n_tokens, total = (sum(column) for column in zip(*self._done, strict=True))
            self._judge(n_tokens / max(total, 1e-9))
            self._done = []

    def shrink(self) -> bool:
        """Halve the passes for good, as memory ran out; False if they are as small as they get."""
        if self.tokens // 2 < _LEAST:
            return False
        self.tokens = self._most = self.tokens // 2
        self._step = 0.0
        return True

    def _judge(self, speed: float) -> None:
        """Go on in the same direction after a gain; after a loss turn round once, at the start, or settle."""
        first_move = self._best is not None and self._best[1] == _START
        if self._best is None or speed > _FASTER * self._best[0]:
            self._best = speed, self.tokens
        elif self._step > 1 and first_move:
            self._step = 0.5
        else:
            self._step = 0.0
        following = int(self._best[1] * self._step)
        self.tokens = following if _LEAST <= following <= self._most else self._best[1]
        if self.tokens == self._best[1]:
            self._step = 0.0


def group_size(lengths: Sequence[int], header: int, tokens: int) -> int:
    """Return how many of the first prefixes are computed and held together, at least one.

    `lengths` are sorted, longest first, and include the header, which is held for each but not computed again.
    """
    longest = lengths[0]
    return max(1, min(len(lengths), tokens // max(1, longest - header), _HELD * tokens // longest))


def rows_per_pass(n_nodes: int, n_answers: int, tokens: int) -> int:
    """Return how many prefixes go through one pass with a pack of `n_nodes` tokens and `n_answers` endings."""
    return max(1, min(tokens // n_nodes, _MAX_CELLS // n_answers))


def length_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return batches of row numbers, longest first, each of at most `budget` tokens with padding (or one row)."""
    return _runs(lengths, lambda count, longest: count * longest <= budget)


def _runs(lengths: Sequence[int], fits: Callable[[int, int], bool]) -> list[list[int]]:
    """Cut the numbers, longest first, into runs that fit; a run that does not fit has one member."""
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    runs: list[list[int]] = []
    for number in order:
        if runs and fits(len(runs[-1]) + 1, lengths[runs[-1][0]]):
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


Progress = Callable[[int], object]
"""Called with the number of cells (or texts) finished since the last call."""


def check_inputs(texts: Sequence[str], questions: Sequence[str]) -> None:
    """Refuse no texts, no questions, and one that is not a string, is blank or is not valid Unicode."""
    for kind, values in (("text", texts), ("question", questions)):
        if len(values) == 0:
            raise BadInput(f"there is no {kind} to answer; give at least one")
        for number, value in enumerate(values):
            problem = _problem(value)
            if problem:
                raise BadInput(f"{kind} number {number} {problem}; correct or remove it")


@contextmanager
def cpu_threads(n_threads: int | None) -> Iterator[None]:
    """Let torch use `n_threads` CPU threads inside the block (None: leave it alone), and restore the old number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _problem(value: object) -> str | None:
    if not isinstance(value, str):
        return f"is not a string but {type(value).__name__}"
    if not value.strip():
        return "is empty"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return "is not valid Unicode (a lone surrogate)"
    return None
