"""When rows were complete: of a plain answerer, of overlapping and old blocks, of ensembles and cascades."""

import numpy as np
import pytest

from qaemb.answers import Answers, CascadeAnswerer, EnsembleAnswerer
from qaemb.answers.blocks import UNKNOWN_TIME, Provenance, _utc_seconds, answered_at
from qaemb.answers.cascade import Evidence, Thresholds
from qaemb.answers.plan import Wanted
from qaemb.answers.store import Store
from qaemb.answers.stored import Stored
from qaemb.errors import StoreError

KEY = "0" * 20
SEGMENTS, QUESTIONS = [f"s{n}" for n in range(5)], [f"q{n}" for n in range(4)]
EVIDENCE = Evidence(0.95, 0.9, 0.952, 0.97, 0.96, 0.8, 0.9, 0.98, 0.6, 1800, 60)


class Member:
    """An answerer of which only the key is asked: its cells are in the store."""

    def __init__(self, key: str) -> None:
        self.key = key


def put(store, segments, questions, time, margin=1.0) -> None:
    values = np.full((len(segments), len(questions)), margin, np.float32)
    made = Provenance("shared", time, "1") if time else None
    store.put(segments, questions, Answers(values, np.ones_like(values)), made)


def day(number: int) -> str:
    return f"2026-03-{number:02}T12:00:00+00:00"


def slow(store, segments, questions, asked) -> list[np.datetime64]:
    """The latest time of the block that each asked cell is from, cell by cell; of overlapping blocks the first."""
    latest = []
    for row, segment in enumerate(segments):
        times = [UNKNOWN_TIME]
        for column, question in enumerate(questions):
            if asked[row, column]:
                own = (b for b in store.blocks() if segment in b.segment_ids and question in b.question_ids)
                times += [answered_at(block.name, block.provenance) for block in [next(own, None)] if block]
        latest.append(max(times))
    return latest


def test_a_row_is_complete_when_its_last_cell_was_answered(tmp_path):
    store = Store(tmp_path, KEY)
    put(store, SEGMENTS[:3], QUESTIONS[:2], day(1))
    put(store, SEGMENTS[:1], QUESTIONS[2:], day(5))
    put(store, SEGMENTS[1:2], QUESTIONS[2:], day(3))
    found = store.cells(SEGMENTS[:3], QUESTIONS).answered()
    assert found.dtype == np.dtype("datetime64[s]")
    assert found.astype(str).tolist() == ["2026-03-05T12:00:00", "2026-03-03T12:00:00", "2026-03-01T12:00:00"]
    assert store.cells(SEGMENTS[:3], QUESTIONS[:2]).answered().astype(str).tolist() == ["2026-03-01T12:00:00"] * 3


@pytest.mark.parametrize("seed", range(5))
def test_times_are_those_of_the_cells_one_by_one(tmp_path, seed):
    rng, store = np.random.default_rng(seed), Store(tmp_path, KEY)
    for _ in range(6):
        rows = sorted(rng.choice(5, rng.integers(1, 5), replace=False))
        columns = sorted(rng.choice(4, rng.integers(1, 4), replace=False))
        time = day(int(rng.integers(1, 29))) if rng.random() < 0.8 else None
        put(store, [SEGMENTS[n] for n in rows], [QUESTIONS[n] for n in columns], time)
    for asked in (np.ones((5, 4), bool), rng.random((5, 4)) < 0.5):
        assert store.cells(SEGMENTS, QUESTIONS).answered(asked).tolist() == [
            time.item() for time in slow(store, SEGMENTS, QUESTIONS, asked)
        ]


def test_old_blocks_have_the_named_constant_and_broken_times_are_named(tmp_path):
    store = Store(tmp_path, KEY)
    put(store, SEGMENTS, QUESTIONS, None)
    assert set(store.cells(SEGMENTS, QUESTIONS).answered()) == {UNKNOWN_TIME}
    put(store, ["s9"], QUESTIONS, "yesterday")
    with pytest.raises(StoreError, match=r"block .*\.parquet says no time at which it was answered.*yesterday"):
        store.cells(["s9"], QUESTIONS).answered()


def test_times_are_read_as_utc():
    assert _utc_seconds("2026-01-01T01:00:00+02:00") == np.datetime64("2025-12-31T23:00:00")
    assert _utc_seconds("2026-01-01T01:00:00") == np.datetime64("2026-01-01T01:00:00")


def wanted() -> Wanted:
    return Wanted(SEGMENTS[:2], ["one", "two"], QUESTIONS[:2], ["A?", "B?"])


def test_an_ensembles_row_is_complete_with_its_last_member(tmp_path):
    one, two = Member("1" * 20), Member("2" * 20)
    put(Store(tmp_path, one.key), SEGMENTS[:2], QUESTIONS[:2], day(4))
    put(Store(tmp_path, two.key), SEGMENTS[:1], QUESTIONS[:2], day(2))
    put(Store(tmp_path, two.key), SEGMENTS[1:2], QUESTIONS[:2], day(9))
    both = Stored("both", EnsembleAnswerer({"one": one, "two": two}, "mean_margin"), tmp_path)
    assert both.answered(wanted()).astype(str).tolist() == ["2026-03-04T12:00:00", "2026-03-09T12:00:00"]


def test_a_cascades_teacher_counts_only_where_its_student_is_not_sure(tmp_path):
    student, teacher = Member("1" * 20), Member("2" * 20)
    put(Store(tmp_path, student.key), SEGMENTS[:1], QUESTIONS[:2], day(1), margin=2.0)  # sure
    put(Store(tmp_path, student.key), SEGMENTS[1:2], QUESTIONS[:2], day(2), margin=0.5)
    put(Store(tmp_path, teacher.key), SEGMENTS[:2], QUESTIONS[:2], day(8))
    thresholds = Thresholds({}, EVIDENCE, student.key, teacher.key, default=(-1.0, 1.0))
    cascade = Stored("c", CascadeAnswerer(student, teacher, thresholds, ("small", "llm")), tmp_path)
    assert cascade.answered(wanted()).astype(str).tolist() == ["2026-03-01T12:00:00", "2026-03-08T12:00:00"]
    only = np.array([[True, True], [False, False]])
    assert cascade.answered(wanted(), only).astype(str).tolist() == ["2026-03-01T12:00:00", "2000-01-01T00:00:00"]
