"""The stage `publish`: only what was approved is served; and the command that prints features."""

import json
import shutil

import pandas as pd
import pytest
import yaml

from qaemb.errors import BadInput, BadMatrix, BadParameter
from qaemb.serving import ServedFeatures
from qaemb.stages.publish import features_of_texts, publish, show_features


@pytest.fixture
def project(tmp_path, make_project):
    return make_project(tmp_path)[0]


def test_the_manifest_names_what_is_served(published):
    manifest = json.loads((published.repo / "data" / "manifest.json").read_text())
    assert list(manifest) == ["job", "answerer", "answerer_key", "answers_sha256", "questions", "sets"]
    assert manifest["questions"][0] == {"name": "q00", "text": "Does the text mention thing 0?"}
    files = {path.name for path in (published.repo / "data").iterdir()}
    assert files == {"manifest.json", "versions.json", "registry.db", "online_store.db", "answers.parquet", "history"}
    assert {path.name for path in (published.repo / "history").iterdir()} == {"the-key.parquet", "versions.json"}


def test_a_matrix_that_changed_after_its_approval_is_refused(project, make_settings):
    path = project.answers("j") / "margin.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "q00"] += 1
    table.to_parquet(path, index=False)
    with pytest.raises(
        BadMatrix, match=r"answers/j/margin.parquet is not the matrix that .*approved; run `qaemb validate --job j`"
    ):
        publish(make_settings(), project)
    assert not (project.feature_repo / "data").exists()


def test_a_matrix_without_a_verdict_is_refused(project, make_settings):
    shutil.rmtree(project.validation("j"))
    with pytest.raises(BadMatrix, match="is not approved"):
        publish(make_settings(), project)


def test_a_set_that_does_not_exist_is_refused(project, make_settings):
    with pytest.raises(BadInput, match="no question set `gold`"):
        publish(make_settings(sets=["gold"]), project)


def test_a_set_that_select_chose_is_served_unless_the_bank_has_one_of_its_name(project, make_settings):
    project.selected.mkdir(parents=True)
    for file, name, members in (("a", "selected_a", ["q09", "q01"]), ("b", "core", ["q00"])):
        text = yaml.safe_dump({"set": name, "provenance": "p", "questions": members})
        (project.selected / f"{file}.yaml").write_text(text)
    with pytest.raises(
        BadInput, match=r"publish.sets: there is no question set `gold`.*by `select` are selected_a, core"
    ):
        publish(make_settings(sets=["gold"]), project)
    publish(make_settings(sets=["selected_a", "core"]), project)
    served = ServedFeatures(project.feature_repo)
    assert served.columns("selected_a") == ["q09", "q01"]
    assert served.columns("core") == ["q07", "q02", "q05", "q11"]
    served.features_for(["Sentence 0 of alpha."], "selected_a")
    chosen = {"set": "selected_a", "questions": ["q09", "rain"]}
    (project.selected / "a.yaml").write_text(yaml.safe_dump(chosen))
    with pytest.raises(BadInput, match="set `selected_a` can't be published: job `j` has no answers to `rain`"):
        publish(make_settings(sets=["selected_a"]), project)


def test_missing_answers_are_named(project, make_settings):
    (project.answers("j") / "margin.parquet").unlink()
    with pytest.raises(BadInput, match=r"margin\.parquet does not exist"):
        publish(make_settings(), project)


def test_features_before_publishing_say_what_to_do(project, make_settings):
    with pytest.raises(BadInput, match=r"publishes nothing.*run `dvc repro publish`"):
        features_of_texts(make_settings(), project, ["A text."], "core")


def test_a_spec_without_a_key_is_refused(project, make_settings):
    (project.answers("j") / "spec.json").write_text("{}")
    with pytest.raises(BadInput, match=r"spec\.json has no `key` of the answerer"):
        publish(make_settings(), project)


def test_features_are_printed_with_the_surest_yes_first(published, hash_engine, capsys):
    show_features(published.settings, published.workspace, [published.texts[0]], "core")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == published.texts[0]
    margins = dict(zip(published.names, published.margins[0], strict=True))
    expected = sorted(["q07", "q02", "q05", "q11"], key=lambda name: -margins[name])
    assert [line.split() for line in lines[2:]] == [[name, f"{margins[name]:+.3f}"] for name in expected]
    assert hash_engine.asked == []


def test_new_texts_are_answered_by_the_published_answerer(published, hash_engine, capsys):
    table = features_of_texts(published.settings, published.workspace, ["New to the command."], "core")
    assert hash_engine.asked == ["New to the command."]
    assert "`hash` answers 1 new texts" in capsys.readouterr().err
    assert table.equals(features_of_texts(published.settings, published.workspace, ["New to the command."], "core"))
    assert hash_engine.asked == ["New to the command."]


def test_settings_that_changed_the_answerer_are_refused(published, hash_engine):
    hash_engine.key = "changed"
    with pytest.raises(BadInput, match="key changed is not that of the published answers"):
        features_of_texts(published.settings, published.workspace, [published.texts[0]], "core")


def test_a_published_answerer_that_params_yaml_lost_is_named(published):
    spec = published.settings.answers.spec
    answers = published.settings.answers.model_copy(update={"spec": {"other": spec["hash"]}})
    settings = published.settings.model_copy(update={"answers": answers})
    with pytest.raises(
        BadParameter, match=r"no published answerer `hash` in params.yaml: answers.spec; there are: other"
    ):
        features_of_texts(settings, published.workspace, ["A text that nobody published."], "core")


def test_an_unknown_set_is_refused_before_anything_is_answered(published):
    with pytest.raises(BadInput, match="`gold` is not published"):
        features_of_texts(published.settings, published.workspace, ["A text."], "gold")
