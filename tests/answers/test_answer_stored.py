"""An answerer with its store: only what is lacking is answered, and an ensemble's cells are its members'."""

import numpy as np
import pytest

from qaemb.answers import Answers, EnsembleAnswerer, build_answerer
from qaemb.answers.blobs import FolderBlobs
from qaemb.answers.plan import Wanted
from qaemb.answers.store import Store
from qaemb.answers.stored import Stored
from qaemb.errors import StoreError
from qaemb.identity import text_id

from .conftest import spec_for


@pytest.fixture
def members(tiny_llm, tiny_encoder) -> dict:
    return {
        "llm": build_answerer("llm", spec_for("shared"), tiny_llm),
        "student": build_answerer("student", spec_for("student"), tiny_encoder),
    }


@pytest.fixture
def ensemble(members, tmp_path) -> Stored:
    return Stored("both", EnsembleAnswerer(members, "mean_probability"), tmp_path)


@pytest.fixture
def wanted(texts, questions) -> Wanted:
    return Wanted([text_id(t) for t in texts], texts, [text_id(q) for q in questions], questions)


def files(root) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.parquet"))


def test_a_plain_answerer_is_planned_run_and_read(members, wanted, tmp_path):
    stored = Stored("llm", members["llm"], tmp_path)
    plans = stored.plan(wanted, 4)
    assert list(plans) == ["llm"]
    assert (plans["llm"].n_wanted, plans["llm"].n_missing, len(plans["llm"].blocks)) == (18, 18, 2)
    assert stored.describe("answers j", plans) == f"answers j: {plans['llm'].describe()}"
    stats = stored.run(wanted, plans, "j")
    assert (stats.cells, stats.cells_per_s) == (18, pytest.approx(18 / stats.seconds))
    np.testing.assert_allclose(stored.read(wanted).margin, members["llm"].answer(*both(wanted)).margin, atol=1e-4)
    assert stored.plan(wanted, 4)["llm"].n_missing == 0


def both(wanted) -> tuple[list[str], list[str]]:
    return list(wanted.texts), list(wanted.questions)


def test_an_ensembles_cells_are_computed_from_its_members_stored_cells(ensemble, members, wanted, tmp_path):
    plans = ensemble.plan(wanted, 4)
    assert set(plans) == {"llm", "student"}
    assert [plan.tokens for plan in plans.values()] == [members[name].cost(*both(wanted)).tokens for name in plans]
    stats = ensemble.run(wanted, plans, "j")
    assert stats.cells == 36
    assert stats.tokens >= sum(plan.tokens for plan in plans.values())
    assert {path.name for path in tmp_path.iterdir()} == {member.key for member in members.values()}
    np.testing.assert_allclose(ensemble.read(wanted).margin, ensemble.answerer.answer(*both(wanted)).margin, atol=1e-4)
    np.testing.assert_allclose(ensemble.read(wanted).mass, ensemble.answerer.answer(*both(wanted)).mass, atol=1e-5)


def test_what_a_member_has_answered_is_not_answered_again(ensemble, members, wanted, tmp_path):
    alone = Stored("llm", members["llm"], tmp_path)
    alone.run(wanted, alone.plan(wanted, 4), "llm")
    before = files(tmp_path)
    plans = ensemble.plan(wanted, 4)
    assert {name: plan.n_missing for name, plan in plans.items()} == {"llm": 0, "student": 18}
    assert ensemble.run(wanted, plans, "both").cells == 18
    assert set(before) < set(files(tmp_path))
    whole = files(tmp_path)
    again = ensemble.plan(wanted, 4)
    assert sum(plan.n_missing for plan in again.values()) == sum(plan.tokens for plan in again.values()) == 0
    assert ensemble.run(wanted, again, "both").cells == 0
    assert files(tmp_path) == whole


def test_an_ensemble_has_a_line_for_each_member(ensemble, wanted):
    plans = ensemble.plan(wanted, 4)
    lines = ensemble.describe("answers j", plans).splitlines()
    assert lines == [f"answers j, {name}: {plans[name].describe()}" for name in ensemble.answerer.members]


@pytest.mark.parametrize("kind", ["plain", "ensemble"])
def test_of_a_mask_only_its_cells_are_answered_and_must_be_there(kind, ensemble, members, wanted, tmp_path):
    stored = ensemble if kind == "ensemble" else Stored("llm", members["llm"], tmp_path)
    asked = np.zeros((6, 3), bool)
    asked[:4, 1] = asked[2, 2] = True
    plans = stored.plan(wanted, 4, asked)
    assert {(plan.n_wanted, plan.n_missing) for plan in plans.values()} == {(5, 5)}
    stored.run(wanted, plans, "j")
    found = stored.read(wanted, asked)
    assert np.isfinite(found.margin).tolist() == np.isfinite(found.mass).tolist() == asked.tolist()
    np.testing.assert_allclose(found.margin[asked], stored.answerer.answer(*both(wanted)).margin[asked], atol=1e-4)
    with pytest.raises(StoreError, match=r"13 cells are not in .*; run `qaemb answers` again"):
        stored.read(wanted)
    asked[5, 0] = True
    with pytest.raises(StoreError, match="1 cells are not in"):
        stored.read(wanted, asked)
    assert {plan.n_missing for plan in stored.plan(wanted, 4, asked).values()} == {1}


def test_long_plans_get_a_time(ensemble, wanted):
    assert [plan.seconds for plan in ensemble.plan(wanted, 4).values()] == [None, None]
    timed = ensemble.plan(wanted, 4, timed_from=18)
    assert all(plan.seconds > 0 for plan in timed.values())
    assert not files(ensemble.root)


@pytest.mark.parametrize("kind", ["plain", "ensemble"])
def test_a_block_is_read_and_checked_once_a_job(kind, ensemble, members, wanted, tmp_path, monkeypatch):
    reads: list[str] = []
    read = FolderBlobs.read

    def counted(self, folder, names):
        reads.extend(name for name in names if name.endswith(".parquet"))
        return read(self, folder, names)

    monkeypatch.setattr(FolderBlobs, "read", counted)
    for _ in range(2):  # a job that answers all, and one that finds all in the store
        stored = (
            Stored("both", ensemble.answerer, tmp_path)
            if kind == "ensemble"
            else Stored("llm", members["llm"], tmp_path)
        )
        stored.run(wanted, stored.plan(wanted, 4), "j")
        stored.read(wanted)
        stored.answered(wanted)
        assert sorted(reads) == sorted(path.name for path in tmp_path.rglob("*.parquet"))
        reads.clear()


def test_cells_brought_up_to_date_are_those_of_a_fresh_look(tmp_path):
    """Whatever order overlapping blocks come in, the one whose name sorts first counts."""
    rng, store = np.random.default_rng(0), Store(tmp_path, "0" * 20)
    segments, questions = [f"s{n}" for n in range(5)], [f"q{n}" for n in range(4)]
    cells = store.cells(segments, questions)
    for _ in range(12):
        rows, columns = (sorted(rng.choice(n, rng.integers(1, n), replace=False)) for n in (5, 4))
        values = rng.normal(size=(len(rows), len(columns))).astype(np.float32)
        store.put([segments[n] for n in rows], [questions[n] for n in columns], Answers(values, abs(values)))
        cells, fresh = store.cells(segments, questions, cells), store.cells(segments, questions)
        np.testing.assert_array_equal(cells.answers.margin, fresh.answers.margin)
        np.testing.assert_array_equal(cells.answers.mass, fresh.answers.mass)
        names = [np.array([*(name for name, _ in one.blocks), ""])[one.number] for one in (cells, fresh)]
        np.testing.assert_array_equal(*names)
