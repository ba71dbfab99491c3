"""The cells of the benchmark: which text belongs to which labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from qaemb.errors import BadParameter


def test_a_text_is_a_tr_with_those_before_and_after_in_its_story_and_has_the_trs_labels(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # where benchmarks are run from
    from benchmarks.student.lm import read_cells

    stories = {
        "b": {"split": "train", "texts": ["one two", "", "three", "four"]},
        "a": {"split": "train", "texts": ["five", "", "", "", "six"]},
        "t": {"split": "test", "texts": ["seven"]},
    }
    (tmp_path / "texts.json").write_text(json.dumps(stories))
    labels = {name: np.arange(len(one["texts"]))[:, None] % 2 == np.array([[0, 1]]) for name, one in stories.items()}
    np.savez(tmp_path / "gpt4_labels.npz", questions=np.array(["Is it?", "Was it?"]), **labels)
    monkeypatch.setenv("QAEMB_LEBEL_PCS", str(tmp_path))
    train, test = read_cells()
    assert train.texts == ["five", "five", "six", "six", "one two", "one two three", "three four", "three four"]
    assert train.groups == ["a"] * 4 + ["b"] * 4
    assert train.labels[:, 0].tolist() == [1, 0, 0, 1, 1, 0, 1, 0]  # TR 2 of story a has no words near it
    assert (train.labels.sum(axis=1) == 1).all()
    assert train.known.all()
    assert (test.texts, test.groups) == (["seven"], ["t"])


def test_questions_are_split_once_and_for_all_by_the_seed(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.student.splits import split_questions

    seen, unseen = split_questions(86, 26, seed=0)
    assert len(unseen) == 26
    assert sorted([*seen, *unseen]) == list(range(86))
    assert all((np.diff(part) > 0).all() for part in (seen, unseen))
    assert split_questions(86, 26, seed=0)[1].tolist() == unseen.tolist()
    assert split_questions(86, 26, seed=1)[1].tolist() != unseen.tolist()
    for n_unseen in (0, 86):
        with pytest.raises(BadParameter, match=f"n_unseen is {n_unseen} of 86"):
            split_questions(86, n_unseen, 0)
