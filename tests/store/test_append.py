"""What is added costs exactly its own cells, and what was there is not asked again."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.answers.export import read_export, write_export
from qaemb.files import write_table
from qaemb.questions import QuestionSet, write_tables
from qaemb.stages.answers import answers
from qaemb.workspace import Workspace

N = 100


@pytest.fixture
def ask(project):
    """A function that answers a set on the first segments by an answerer, and returns the cells answered now."""
    workspace = Workspace(project.folder)
    texts = pd.read_parquet(workspace.segments("tr") / "segments.parquet")

    def run(questions: list[int], n_segments: int = N, answerer: str = "pub") -> int:
        chosen = tuple(project.questions[number] for number in questions)
        write_tables(workspace.questions, list(chosen), [QuestionSet("all", chosen)], [])
        write_table(workspace.segments("tr") / "segments.parquet", texts.iloc[:n_segments])
        path = project.folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params["answers"]["jobs"]["pub"]["answerer"] = answerer
        path.write_text(yaml.safe_dump(params))
        answers(project.settings, workspace, "pub")
        found = pd.read_parquet(workspace.answers("pub") / "margin.parquet").drop(columns="segment_id").to_numpy()
        np.testing.assert_array_equal(found, project.expected.margin[:n_segments][:, questions])
        return int(json.loads(workspace.run_figures("answers", "pub").read_text())["cells_answered_now"])

    return run


def test_a_new_question_costs_its_column(ask):
    assert ask([0, 1, 2]) == 3 * N
    assert ask([0, 3, 1, 2]) == N


def test_a_new_story_costs_its_own_texts(ask):
    assert ask([0, 1], n_segments=60) == 2 * 60
    assert ask([0, 1], n_segments=75) == 2 * 15


def test_a_new_question_and_a_new_story_cost_both_and_their_corner_once(ask):
    assert ask([0, 1], n_segments=60) == 2 * 60
    assert ask([0, 1, 2], n_segments=75) == 3 * 75 - 2 * 60


def test_a_longer_set_costs_what_is_new_in_it(ask):
    assert ask([1, 2]) == 2 * N
    assert ask([5, 2, 0, 1, 3]) == 3 * N


def test_sets_that_share_questions_share_cells(ask):
    assert ask([0, 1, 2]) == 3 * N
    assert ask([2, 3, 1]) == N
    assert ask([3, 0]) == 0


def test_going_back_answers_nothing(ask):
    assert ask([0, 1, 2, 3]) == 4 * N
    assert ask([0, 1]) == 0
    assert ask([3, 2, 1, 0], n_segments=10) == 0


def test_a_second_answerer_costs_all_of_its_own_cells_and_none_of_the_first(ask, project):
    assert ask([0, 1]) == 2 * N
    own = project.folder / "data" / "published"
    export = read_export(own / "pub")
    export.mass[0, 0] += 0.5  # other answers: another key
    write_export(export, own / "other")
    path = project.folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["answers"]["spec"]["other"] = {"engine": "published", "published": "data/published/other"}
    path.write_text(yaml.safe_dump(params))
    assert ask([0, 1], answerer="other") == 2 * N
    assert ask([0, 1]) == 0
    assert ask([0, 1, 2], answerer="other") == N
