"""What is measured, each in a process of its own: `python -m benchmarks.serving.operations JSON` prints JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.serving import repositories as repos
from qaemb.answers import Answers
from qaemb.identity import text_id
from qaemb.serving import ServedFeatures, array_view_name, historical_features, open_store, push_source_name

Times = list[tuple[float, float]]
"""Wall-clock and CPU seconds of each call."""

_WARM_UP = 5
_ASKED_AT = pd.Timestamp("2026-06-01", tz="UTC")


@dataclass(frozen=True)
class Job:
    """One operation on a repository that holds `n_segments` x `n_questions`.

    Online: `size` segments of set `asked` per call, up to `calls` calls and `seconds`. Historical: `size` rows.
    """

    operation: str
    repo: str
    n_segments: int
    n_questions: int
    asked: str = repos.ALL
    size: int = 1
    calls: int = 300
    seconds: float = 20.0

    @property
    def folder(self) -> Path:
        """The repository."""
        return Path(self.repo)

    @property
    def width(self) -> int:
        """How many questions are asked for."""
        return self.n_questions if self.asked == repos.ALL else repos.N_PART


class MadeUp:
    """An answerer that takes no time."""

    key = repos.KEY

    def answer(self, texts: list[str], questions: list[str], progress: Any = None) -> Answers:
        """Return the margins of the texts' rows."""
        rows = [int(text.rsplit(" ", 1)[1]) for text in texts]
        margin = np.concatenate([repos.margins(range(row, row + 1), len(questions)) for row in rows])
        return Answers(margin, np.ones_like(margin))


def features_for(job: Job) -> Times:
    """Return seconds of each call of qaemb's own look-up."""
    served = ServedFeatures(job.folder)
    return _timed(job, lambda rows: served.features_for(_texts(rows), job.asked).to_numpy())


def service(job: Job) -> Times:
    """Return seconds of each look-up of Feast's feature service, in process: qaemb's repository, or a plain one."""
    store = open_store(job.folder)
    names = repos.manifest(job.n_questions).names[: job.width]

    def call(rows: np.ndarray) -> np.ndarray:
        entities = [{"segment": text_id(text)} for text in _texts(rows)]
        found = store.get_online_features(features=store.get_feature_service(job.asked), entity_rows=entities).to_dict()
        return np.array([found[name] for name in names], np.float32).T

    return _timed(job, call)


def publish(job: Job) -> Times:
    """Return the seconds of a publication: tables, definitions, online store."""
    return _once(lambda: repos.publish(job.folder, job.n_segments, job.n_questions))


def plain_write(job: Job) -> Times:
    """Return the seconds that plain Feast takes for its table and definitions, without its online store."""
    return _once(lambda: repos.write_plain(job.folder, job.n_segments, job.n_questions))


def plain_materialise(job: Job) -> Times:
    """Return the seconds of loading plain Feast's view into the online store."""
    return _once(lambda: repos.materialise(job.folder, repos.VIEW))


def array_materialise(job: Job) -> Times:
    """Return the seconds of loading qaemb's array view into the online store, which has its rows already."""
    view = array_view_name(repos.manifest(job.n_questions).version)
    return _once(lambda: repos.materialise(job.folder, view))


def push(job: Job) -> Times:
    """Return seconds from pushing one new segment to Feast's push source until it was read back, per call."""
    served = ServedFeatures(job.folder)
    source = push_source_name(served.manifest.version)

    def call(number: int) -> None:
        row = job.n_segments + number
        text = repos.texts(range(row, row + 1))[0]
        margin = repos.margins(range(row, row + 1), job.n_questions)
        pushed = pd.DataFrame({"segment": [text_id(text)], "margins": list(margin), "event_timestamp": [_ASKED_AT]})
        served.store.push(source, pushed)
        np.testing.assert_array_equal(served.features_for([text], repos.ALL).to_numpy(), margin)

    return _numbered(job, call)


def new_text(job: Job) -> Times:
    """Return seconds of `features_for` of one new text whose answering takes no time: answered, kept, pushed."""
    served = ServedFeatures(job.folder)

    def call(number: int) -> None:
        served.features_for(
            repos.texts(range(2 * job.n_segments + number, 2 * job.n_segments + number + 1)), repos.ALL, MadeUp()
        )

    return _numbered(job, call)


def historical(job: Job) -> Times:
    """Return the seconds of qaemb's join for training."""
    entities, rows = _entities(job)
    open_store(job.folder)  # imports Feast, which is no part of a join
    return _joined(job, rows, lambda: historical_features(job.folder, entities, job.asked))


def historical_service(job: Job) -> Times:
    """Return the seconds of Feast's join through a feature service: qaemb's on-demand view, or plain columns."""
    entities, rows = _entities(job)
    store = open_store(job.folder)
    ask = store.get_feature_service(job.asked)
    return _joined(job, rows, lambda: store.get_historical_features(entity_df=entities, features=ask).to_df())


OPERATIONS: dict[str, Callable[[Job], Times]] = {
    own.__name__: own
    for own in (
        *(features_for, service, publish, plain_write, plain_materialise, array_materialise, push, new_text),
        *(historical, historical_service),
    )
}


def _texts(rows: np.ndarray) -> list[str]:
    return [f"segment number {row}" for row in rows]


def _timed(job: Job, call: Callable[[np.ndarray], np.ndarray]) -> Times:
    """Time a look-up of random segments, again and again; what the first calls return is checked."""
    rng = np.random.default_rng(0)
    found: Times = []
    for number in _calls(job):
        rows = rng.integers(0, job.n_segments, job.size)
        with _clock(found):
            answer = call(rows)
        if number < _WARM_UP:
            expected = [repos.margins(range(row, row + 1), job.n_questions)[0, : job.width] for row in rows]
            np.testing.assert_array_equal(answer, np.array(expected))
    return found[_WARM_UP:]


def _numbered(job: Job, call: Callable[[int], None]) -> Times:
    found: Times = []
    for number in _calls(job):
        with _clock(found):
            call(number)
    return found[_WARM_UP:]


@contextmanager
def _clock(times: Times) -> Iterator[None]:
    begin = time.perf_counter(), time.process_time()
    yield
    times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))


def _calls(job: Job) -> Iterator[int]:
    """Count calls: the warm-up and at least five more, then until `calls` or `seconds` are over."""
    end = time.perf_counter() + job.seconds
    for number in range(job.calls + _WARM_UP):
        if number >= 2 * _WARM_UP and time.perf_counter() > end:
            return
        yield number


def _once(act: Callable[[], object]) -> Times:
    import feast  # noqa: F401 - its import takes seconds and is no part of the act

    found: Times = []
    with _clock(found):
        act()
    return found


def _entities(job: Job) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows to join: random segments, each at a time of its own; and the numbers of the segments."""
    rows = np.random.default_rng(0).integers(0, job.n_segments, job.size)
    ids = np.array([text_id(text) for text in repos.texts(range(job.n_segments))], dtype=object)
    times = _ASKED_AT + pd.to_timedelta(np.arange(job.size), unit="s")
    return pd.DataFrame({"segment": ids[rows], "event_timestamp": times}), rows


def _joined(job: Job, rows: np.ndarray, join: Callable[[], pd.DataFrame]) -> Times:
    found: Times = []
    with _clock(found):
        table = join()
    names = repos.manifest(job.n_questions).names[: job.width]
    assert len(table) == job.size, f"{len(table)} of {job.size} rows came back"
    table = table.sort_values("event_timestamp", ignore_index=True)
    for place in np.linspace(0, job.size - 1, 20).astype(int):
        expected = repos.margins(range(rows[place], rows[place] + 1), job.n_questions)[0, : job.width]
        np.testing.assert_array_equal(table.loc[place, names].to_numpy(np.float32), expected)
    return found


def measured(job: Job) -> dict[str, Any]:
    """Return wall-clock seconds of each call, mean CPU seconds of a call, and the peak memory of this process in MB."""
    times = OPERATIONS[job.operation](job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = np.array(times).T
    return {"seconds": wall.tolist(), "cpu_ms": round(float(cpu.mean()) * 1000, 2), "peak_mb": round(peak)}


def main() -> None:
    """Run it and print what was measured."""
    print(json.dumps(measured(Job(**json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
