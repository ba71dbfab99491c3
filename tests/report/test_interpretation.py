"""What the stage `interpret` found, on the page: its tables, bars, the redundancy map, the sentence."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qaemb.encoding.redundancy import find_redundancy
from qaemb.errors import BadInput
from qaemb.report import draw, render
from qaemb.report.figures import bars_figure, redundancy_figure
from qaemb.report.sentences import sentences
from qaemb.settings import InterpretSettings
from qaemb.stages.report import gather

QUESTIONS = ["food", "eats", "lone", "flat"]
R = np.array([[1, 0.8, 0.1, np.nan], [0.8, 1, 0.0, np.nan], [0.1, 0.0, 1, np.nan], [np.nan] * 4])


def numbers(subject: str, scope: str, added: list[float]) -> pd.DataFrame:
    table = pd.DataFrame({"subject": subject, "scope": scope, "question": QUESTIONS, "unique_r": added})
    table = table.assign(weight=[1.0, -1.0, 0.5, 0.0], importance=[0.4, 0.3, 0.2, 0.0], same_sign=0.87)
    for name in ("importance", "unique_r"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.01, table[name] + 0.01
    return table.assign(unique_r_q=np.where(np.array(added) > 0.02, 0.001, 0.5))


@pytest.fixture
def written(settings, workspace, write_outputs):
    """Write what `interpret` leaves of model `qa`; return settings that name it."""
    write_outputs()
    folder = workspace.interpretation("qa")
    folder.mkdir(parents=True)
    parts = [("UTS01", "all", [0.0125, 0.0, 0.0333, 0.0]), ("UTS01", "front", [9.0] * 4)]
    parts += [("UTS02", "all", [0.0444, 0.0, 0.0311, 0.0])]
    pd.concat([numbers(*part) for part in parts]).to_csv(folder / "questions.csv", index=False)
    found = find_redundancy(QUESTIONS, R, 0.5)
    found.table().to_csv(folder / "clusters.csv", index=False)
    pd.DataFrame(R, columns=QUESTIONS).to_parquet(folder / "redundancy.parquet")
    sets = {"subject": "UTS01", "scope": "all", "kind": ["cluster", "space"], "name": ["food", "whole"]}
    sets |= {"n_features": [2, 4], "unique_r": [0.0777, 0.2], "unique_r_low": 0.01, "unique_r_high": 0.3}
    pd.DataFrame(sets | {"unique_r_q": 0.01}).to_csv(folder / "sets.csv", index=False)
    return settings.model_copy(update={"interpret": InterpretSettings(models=["gold", "qa"])})


def test_only_models_that_were_interpreted_and_only_all_voxels_are_shown(written, workspace):
    findings = gather(written, workspace)
    (found,) = findings.interpretations
    assert found.model == "qa"
    assert found.questions["unique_r"].max() == 0.0444
    order = [QUESTIONS.index(name) for name in found.clusters["question"]]
    np.testing.assert_array_equal(found.r, R[np.ix_(order, order)])


def test_the_page_lists_what_adds_most(written, workspace):
    findings = gather(written, workspace)
    findings = replace(findings, maps=(), jobs=(), selections=(), scores=findings.scores[:0])
    figures = draw(findings)
    names = {"adds_qa_UTS01.png", "adds_qa_UTS02.png", "replicates_qa_UTS01.png", "redundancy_qa.png"}
    assert names <= set(figures)
    text = render(findings, figures)
    section = text[text.index('<section id="drives">') : text.index('<section id="cortex">')]
    assert "1 of 4 add what the others cannot" in section
    assert "2 of 4 add what the others cannot" in section
    assert section.index("0.0333") < section.index("0.0125") < section.index("space whole") < section.index("0.0777")
    assert "2 features together" in section
    assert "3 clusters" in section
    assert "nan" not in section.replace("data:image/png;base64,", "").split("base64")[0]
    said = (
        "In qa, 1 to 2 of 4 questions add to r what the others cannot, by subject (q < 0.05); most adds lone, "
        "0.0322 on average."
    )
    assert said in sentences(findings)


def test_without_the_stage_the_section_says_so(written, workspace):
    findings = replace(gather(written, workspace), interpretations=(), maps=(), jobs=(), selections=())
    assert "No model was interpreted" in render(findings, draw(findings))


def test_a_table_of_another_version_is_named(written, workspace):
    path = workspace.interpretation("qa") / "questions.csv"
    pd.read_csv(path).drop(columns="unique_r_q").to_csv(path, index=False)
    with pytest.raises(
        BadInput, match=r"questions.csv lacks the columns \['unique_r_q'\]; run `qaemb interpret --name qa`"
    ):
        gather(written, workspace)


def pixels(content: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(content))[..., :3]


def share(image: np.ndarray, colour: tuple[float, float, float]) -> float:
    return float((np.abs(image - np.array(colour)).max(axis=2) < 0.02).mean())


def test_bars_are_pale_where_the_interval_holds_0_and_coloured_by_sign():
    table = numbers("S", "all", [0.05, 0.04, 0.03, 0.02])
    green, orange = (0x3A / 255, 0x8F / 255, 0x6A / 255), (0xD9 / 255, 0x82 / 255, 0x2B / 255)
    sure = pixels(bars_figure("t", table, "unique_r", 2))
    assert share(sure, green) > 0.01
    assert share(sure, orange) > 0.01
    unsure = pixels(bars_figure("t", table.assign(unique_r_low=-0.01), "unique_r", 2))
    assert share(unsure, green) == share(unsure, orange) == 0


def test_the_redundancy_map_shows_r_and_grey_for_a_question_that_never_varies():
    table = find_redundancy(QUESTIONS, R, 0.5).table()
    places = [QUESTIONS.index(name) for name in table["question"]]
    image = pixels(redundancy_figure("t", R[np.ix_(places, places)], table))
    assert share(image, (0x9A / 255, 0xA3 / 255, 0xAD / 255)) > 0.05
    many = [f"q{i}" for i in range(80)]
    values = np.kron(np.eye(40), np.ones((2, 2)))
    found = find_redundancy(many, values, 0.5)
    assert len(redundancy_figure("t", values[np.ix_(found.order, found.order)], found.table())) > 1000
