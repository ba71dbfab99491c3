"""An ensemble that is published answers new texts with all of its members."""

import json
from dataclasses import dataclass

import numpy as np

from qaemb.answers import Answers, open_answerer
from qaemb.answers.engines import ENGINES
from qaemb.settings import AnswererSettings, AnswersSettings
from qaemb.stages.publish import features_of_texts, publish

from .conftest import QUESTIONS, SETS, margins_of


@dataclass
class ScaledHash:
    """A plain answerer that keeps the contract: margins by hash, times the settings' scale."""

    scale: float

    @property
    def spec(self):
        return {"scale": self.scale}

    @property
    def key(self):
        return f"key-{self.scale}"

    def answer(self, texts, questions, progress=None) -> Answers:
        margin = margins_of(texts, questions) * np.float32(self.scale)
        if progress:
            progress(margin.size)
        return Answers(margin, np.full_like(margin, 0.9))


def test_new_texts_are_answered_by_every_member(tmp_path, make_project, make_settings, monkeypatch):
    monkeypatch.setitem(ENGINES, "student", lambda settings, folder: ScaledHash(settings.scale))
    workspace = make_project(tmp_path)[0]
    plain = make_settings()
    scales = {"a": 1.0, "b": 4.0}
    spec = {name: AnswererSettings(engine="student", model="m", scale=scale) for name, scale in scales.items()}
    spec["hash"] = AnswererSettings(engine="ensemble", members=["a", "b"])
    answers = AnswersSettings(spec=spec, jobs=plain.answers.jobs)
    settings = plain.model_copy(update={"answers": answers})
    key = open_answerer("hash", spec, workspace.model).key
    (workspace.answers("j") / "spec.json").write_text(json.dumps({"key": key}))
    publish(settings, workspace)
    text = "Nobody published this."
    table = features_of_texts(settings, workspace, [text], "core")
    expected = 2.5 * margins_of([text], [QUESTIONS[number].text for number in SETS["core"]])
    np.testing.assert_allclose(table.to_numpy(), expected, rtol=1e-6)
