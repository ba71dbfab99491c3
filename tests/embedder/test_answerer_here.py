"""What answers: a language model from a folder, and what is said of it."""

import json
import shutil

import numpy as np
import pytest

from qaemb import QAEmbedder
from qaemb.answers import build_answerer
from qaemb.errors import BadInput
from qaemb.models.folder import make_model
from qaemb.settings import AnswererSettings, ModelSettings

from ..answers.conftest import save_tiny_llm
from .conftest import QUESTIONS, TEXTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    source = tmp_path_factory.mktemp("somewhere") / "tiny"
    source.mkdir()
    save_tiny_llm(source)
    return source


def test_a_language_models_folder_answers_as_the_engine_does(folder, tmp_path, capsys):
    X = QAEmbedder(QUESTIONS, str(folder), cache=tmp_path).fit_transform(TEXTS)
    assert "qaemb: answering with `tiny`, engine shared, float32, CPU" in capsys.readouterr().err
    make_model("tiny", ModelSettings(source="folder", path=folder, kind="causal"), tmp_path / "own")
    own = AnswererSettings(engine="reference", model="tiny", prompt="text_first", dtype="float32")
    oracle = build_answerer("tiny", own, tmp_path / "own").answer(TEXTS, list(QUESTIONS.values()))
    np.testing.assert_allclose(X, oracle.margin, atol=1e-3)


def test_the_model_is_read_once_and_again_when_it_changed(folder, tmp_path):
    source = tmp_path / "tiny"
    shutil.copytree(folder, source)
    cache = tmp_path / "cache"
    QAEmbedder(QUESTIONS, source, cache=cache).fit(TEXTS[:1])
    QAEmbedder(QUESTIONS, source, cache=cache).fit(TEXTS[:1])
    assert len(list((cache / "models").iterdir())) == 1
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"rope_theta": 500.0}))
    QAEmbedder(QUESTIONS, source, cache=cache).fit(TEXTS[:1])
    assert len(list((cache / "models").iterdir())) == 2


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(BadInput, match="nowhere' is no folder; give a model's folder"):
        QAEmbedder(QUESTIONS, "nowhere", cache=tmp_path).fit(TEXTS)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="empty has neither config.json with"):
        QAEmbedder(QUESTIONS, empty, cache=tmp_path).fit(TEXTS)
