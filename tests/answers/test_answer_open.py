"""Opening any answerer by its name in answers.spec."""

import pytest

from qaemb.answers import EnsembleAnswerer, build_answerer, open_answerer
from qaemb.answers.engines.shared import SharedAnswerer
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import AnswererSettings

from .conftest import spec_for

SERVER = {"url": "http://127.0.0.1:9/v1", "model": "m", "api": "chat"}
CHAT = {"engine": "server", "prompt": "text_first", "server": SERVER}


@pytest.fixture
def spec() -> dict[str, AnswererSettings]:
    return {
        "llm": spec_for("shared"),
        "student": spec_for("student", model="encoder", batch_tokens=None),
        "both": AnswererSettings(engine="ensemble", members=["llm", "student"], combine="mean_probability"),
    }


@pytest.fixture
def folder(tiny_llm, tiny_encoder):
    return {"tiny": tiny_llm, "encoder": tiny_encoder}.__getitem__


def test_a_single_engine_is_opened_on_its_models_folder(spec, folder, tiny_llm):
    opened = open_answerer("llm", spec, folder)
    assert isinstance(opened, SharedAnswerer)
    assert opened.key == build_answerer("llm", spec["llm"], tiny_llm).key
    assert opened.figures == {}


def test_an_ensemble_is_opened_with_its_members(spec, folder):
    opened = open_answerer("both", spec, folder)
    assert isinstance(opened, EnsembleAnswerer)
    assert opened.rule == "mean_probability"
    assert {name: member.key for name, member in opened.members.items()} == {
        name: open_answerer(name, spec, folder).key for name in ("llm", "student")
    }


def test_an_answerer_without_a_local_model_has_no_folder(monkeypatch):
    from qaemb.answers.engines import ENGINES

    given = []
    monkeypatch.setitem(ENGINES, "server", lambda settings, folder: given.append((settings, folder)))
    own = AnswererSettings.model_validate(CHAT)
    open_answerer("chat", {"chat": own}, lambda name: pytest.fail(f"no folder of {name} is needed"))
    assert given == [(own, None)]


def test_what_is_unknown_or_wrong_is_named(spec, folder):
    with pytest.raises(BadParameter, match=r"no answerer `z` in params\.yaml, section answers\.spec; there are: llm, "):
        open_answerer("z", spec, folder)
    broken = spec | {"llm": spec_for("shared", model="encoder")}
    with pytest.raises(BadInput, match=r"answers\.spec\.llm: .*needs causal"):
        open_answerer("both", broken, folder)
