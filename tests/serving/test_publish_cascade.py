"""A cascade that is published: new texts are answered by student or teacher, and it is called an approximation."""

import json

import numpy as np
import pytest

from qaemb.answers import open_answerer
from qaemb.answers.cascade import Evidence, Thresholds
from qaemb.answers.engines import ENGINES
from qaemb.files import write_json
from qaemb.serving import open_store, read_manifest
from qaemb.settings import AnswererSettings, AnswersSettings
from qaemb.stages.publish import features_of_texts, publish, show_features

from .conftest import QUESTIONS, SETS, margins_of
from .test_publish_ensemble import ScaledHash

CLAIM = "approximates `b`: at least 0.9 of the cells are answered as it would; 5 of 8 calls saved (62.5 %)"


@pytest.fixture
def published(tmp_path, make_project, make_settings, monkeypatch):
    class Scaled(ScaledHash):
        figures: dict[str, float] = {}  # noqa: RUF012 - nobody changes it

    monkeypatch.setitem(ENGINES, "student", lambda settings, folder: Scaled(settings.scale))
    workspace = make_project(tmp_path)[0]
    plain = make_settings()
    scales = {"a": 1.0, "b": -4.0}
    spec = {name: AnswererSettings.model_construct(engine="student", model="m", scale=s) for name, s in scales.items()}
    members = {"student": "a", "teacher": "b", "thresholds": "data/cascades/c.json"}
    spec["hash"] = AnswererSettings.model_validate({"engine": "cascade", "cascade": members})
    bands = {question.question_id: (-0.5, 0.5) for question in QUESTIONS}
    thresholds = Thresholds(bands, Evidence(*[0.9] * 8, 0.6, 80, 10), "key-1.0", "key--4.0")
    write_json(tmp_path / "data/cascades/c.json", thresholds.to_dict())
    answers = AnswersSettings.model_construct(**dict(plain.answers) | {"spec": spec})
    settings = plain.model_copy(update={"answers": answers})
    key = open_answerer("hash", spec, workspace.model, workspace.root).key
    about = {"key": key, "approximates": {"answerer": "b", "claim": CLAIM}}
    (workspace.answers("j") / "spec.json").write_text(json.dumps(about))
    publish(settings, workspace)
    return settings, workspace


def test_new_texts_are_answered_and_named_as_an_approximation(published, capsys):
    settings, workspace = published
    text = "Nobody published this."
    table = features_of_texts(settings, workspace, [text], "core")
    own = margins_of([text], [QUESTIONS[number].text for number in SETS["core"]])
    sure = np.abs(own) >= 0.5
    assert 0 < sure.sum() < sure.size
    np.testing.assert_allclose(table.to_numpy(), np.where(sure, own, -4 * own), rtol=1e-6)
    capsys.readouterr()
    show_features(settings, workspace, [text], "core")
    assert f"features: `hash` {CLAIM}" in capsys.readouterr().err
    assert read_manifest(workspace.feature_repo).approximates == CLAIM
    manifest = json.loads((workspace.feature_repo / "data" / "manifest.json").read_text())
    assert manifest["approximates"] == CLAIM
    service = open_store(workspace.feature_repo).get_feature_service("core")
    assert service.description == f"answerer hash {CLAIM}"
