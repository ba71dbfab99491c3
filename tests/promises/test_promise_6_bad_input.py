"""Promise 6: bad input gets an error that names file, row or key and the way out; nothing half-written remains."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.answers.export import read_export, write_export
from qaemb.identity import text_id

from .conftest import ROOT, qaemb


def edit_params(project, change) -> None:
    path = project.folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    change(params)
    path.write_text(yaml.safe_dump(params))


def edit_table(path: Path, change) -> None:
    table = pd.read_parquet(path)
    change(table).to_parquet(path, index=False)


def empty_text(project):
    def change(table):
        table.loc[3, ["segment_id", "text"]] = [text_id(" "), " "]
        return table

    edit_table(project.folder / "data/work/segments/tr/segments.parquet", change)
    return "text number 3 is empty; correct or remove it"


def changed_text(project):
    def change(table):
        table.loc[5, "text"] = "something else"
        return table

    edit_table(project.folder / "data/work/segments/tr/segments.parquet", change)
    return r"segment \w{20} \(number 5\) is not the hash of its text; make its table again"


def segment_twice(project):
    edit_table(
        project.folder / "data/work/segments/tr/segments.parquet", lambda table: pd.concat([table, table.iloc[[2]]])
    )
    return r"segment \w{20} stands twice, again at number 1000; remove one"


def question_twice(project):
    def change(table):
        return pd.concat([table, table.iloc[[1]].assign(position=len(table))])

    edit_table(project.folder / "data/work/questions/sets.parquet", change)
    return r"question \w{20} stands twice, again at number 8; remove one"


def unknown_set(project):
    edit_params(project, lambda params: params["answers"]["jobs"]["pub"].update(set="nowhere"))
    return "there is no question set `nowhere`; known are all"


def unknown_parameter(project):
    edit_params(project, lambda params: params["answers"].update(blok_texts=3))
    return r"params.yaml: unknown parameter `answers.blok_texts`"


def parameter_out_of_range(project):
    edit_params(project, lambda params: params["answers"].update(block_texts=0))
    return r"params.yaml: answers.block_texts"


def no_published_folder(project):
    shutil.rmtree(project.folder / "data/published/pub")
    return "answers.spec.pub|is no export of answers"


def not_a_number(project):
    folder = project.folder / "data/published/pub"
    export = read_export(folder)
    export.margin[4, 2] = np.nan
    shutil.rmtree(folder)
    write_export(export, folder)
    return r"margin.parquet holds a value that is not finite; export it again"


def wrong_shape(project):
    edit_table(project.folder / "data/published/pub/margin.parquet", lambda table: table.iloc[:, :-1])
    return r"margin.parquet is not the file that was exported \(its SHA-256 differs\); copy the whole folder again"


def too_few_published(project):
    edit_table(
        project.folder / "data/work/segments/tr/segments.parquet",
        lambda table: pd.concat([table, pd.DataFrame({"segment_id": [text_id("new")], "text": ["new"]})]),
    )
    return r"has no answers for 1 of \d+ texts, first 'new'; it has 1000"


CASES = [
    empty_text,
    changed_text,
    segment_twice,
    question_twice,
    unknown_set,
    unknown_parameter,
    parameter_out_of_range,
    no_published_folder,
    not_a_number,
    wrong_shape,
    too_few_published,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_promise_6_bad_input_is_one_message_and_leaves_nothing(project, case):
    message = case(project)
    done = qaemb(project)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("qaemb: ")
    assert pd.Series([last]).str.contains(message).all(), last
    assert "Traceback" not in done.stderr
    assert not (project.folder / "data/work/answers").exists()
    assert not [path for path in project.folder.rglob(".*") if path.suffix == ".tmp"]


@pytest.fixture(scope="module")
def stories(tmp_path_factory) -> Path:
    """A project with the generated miniature data set."""
    folder = tmp_path_factory.mktemp("stories")
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "data" / "miniature", folder / "data" / "miniature")
    done = qaemb(folder, "miniature")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", ["broken", "missing"])
def test_promise_6_a_broken_or_missing_transcript_is_named(stories, tmp_path, case):
    folder = tmp_path / "project"
    shutil.copytree(stories, folder)
    path = sorted((folder / "data/work/miniature").rglob("*.TextGrid"))[0]
    if case == "broken":
        path.write_text(path.read_text()[: path.stat().st_size // 2])
    else:
        path.unlink()
    done = qaemb(folder, "dataset")
    assert done.returncode == 1
    assert path.stem in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("qaemb: ")
    assert not (folder / "data/work/dataset").exists()
