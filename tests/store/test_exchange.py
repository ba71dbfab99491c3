"""A matrix that one lab exports and another one imports, with where each answer is from."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.store.project import Project
from qaemb.answers.export import read_export
from qaemb.errors import BadInput, StoreError
from qaemb.identity import file_sha256, json_id
from qaemb.stages.answer_exchange import export_job, import_answers
from qaemb.stages.answers import answers
from qaemb.workspace import Workspace


@pytest.fixture
def exported(bought, tmp_path):
    export_job(bought.settings, Workspace(bought.folder), "pub", tmp_path / "export")
    return tmp_path / "export"


@pytest.fixture
def elsewhere(tmp_path) -> Project:
    """Another lab: the same texts and questions, no answers."""
    project = Project(tmp_path / "elsewhere", n_segments=100, n_questions=6).write()
    shutil.rmtree(project.folder / "data" / "published")
    return project


def take(project, folder, name="theirs", replace=False):
    import_answers(project.settings, Workspace(project.folder), folder, name, replace)


def test_an_export_has_the_answers_and_the_block_of_each(bought, exported):
    found = read_export(exported)
    assert found.segment_ids == bought.ids[0]
    assert found.question_ids == bought.ids[1]
    np.testing.assert_array_equal(found.margin, bought.expected.margin)
    np.testing.assert_array_equal(found.mass, bought.expected.mass)
    assert found.key == bought.store.key
    assert found.spec == bought.store.spec()
    named = {block.name: block for block in bought.store.blocks()}
    assert {own["name"] for own in found.blocks} == set(named)
    for row in (0, 30, 99):
        own = found.blocks[found.block[row, 2]]
        assert found.segment_ids[row] in named[own["name"]].segment_ids
        assert own["answered_at"] == named[own["name"]].provenance.answered_at
        assert own["engine"] == "published"
    assert found.about["segmentation"] == "tr"
    assert found.about["set"] == "all"
    told = json.loads((exported / "provenance.json").read_text())
    assert told["files"] == {name: file_sha256(exported / name) for name in told["files"]}


def test_another_lab_answers_with_them(exported, elsewhere, capsys):
    take(elsewhere, exported)
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("In params.yaml"))
    spec = yaml.safe_load(line.split("answers.spec:")[1])
    params = elsewhere.folder / "params.yaml"
    values = yaml.safe_load(params.read_text())
    values["answers"]["spec"] = spec
    values["answers"]["jobs"]["pub"]["answerer"] = "theirs"
    params.write_text(yaml.safe_dump(values))
    answers(elsewhere.settings, Workspace(elsewhere.folder), "pub")
    table = pd.read_parquet(elsewhere.folder / "data/work/answers/pub/margin.parquet").drop(columns="segment_id")
    np.testing.assert_array_equal(table.to_numpy(), elsewhere.expected.margin)
    spec_file = json.loads((elsewhere.folder / "data/work/answers/pub/spec.json").read_text())
    assert spec_file["spec"]["source"] == read_export(exported).key


def test_the_same_again_is_said_and_other_answers_are_not_overwritten(bought, exported, elsewhere, tmp_path, capsys):
    take(elsewhere, exported)
    take(elsewhere, exported)
    assert "has these answers already" in capsys.readouterr().out
    other = tmp_path / "other"
    shutil.copytree(exported, other)
    _rewrite(other, lambda margin: margin + 1)
    with pytest.raises(BadInput, match="holds other answers .*--replace"):
        take(elsewhere, other)
    take(elsewhere, other, replace=True)
    np.testing.assert_allclose(
        read_export(elsewhere.folder / "data/published/theirs").margin, bought.expected.margin + 1
    )


def damage_margin(folder):
    content = bytearray((folder / "margin.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "margin.parquet").write_bytes(content)
    return r"margin.parquet is not the file that was exported"


def lose_mass(folder):
    (folder / "mass.parquet").unlink()
    return r"mass.parquet does not exist, but provenance.json names it"


def change_spec(folder):
    _edit(folder, lambda told: told["spec"].update(engine="better"))
    return "`key` .* is not the hash of `spec`"


def change_question(folder):
    _edit(folder, lambda told: told["questions"][1].update(text="Is it something else?"))
    return r"question \w{20} is not the hash of its words 'Is it something else\?'"


def drop_part(folder):
    _edit(folder, lambda told: told.pop("blocks"))
    return "provenance.json lacks 'blocks'"


def other_format(folder):
    _edit(folder, lambda told: told.update(format=7))
    return "format 7 is not 1"


def not_finite(folder):
    _rewrite(folder, lambda margin: np.where(np.arange(len(margin))[:, None] == 3, np.inf, margin))
    return "margin.parquet holds a value that is not finite"


def no_export(folder):
    (folder / "provenance.json").unlink()
    return "is no export of answers"


def stray_path(folder):
    _edit(folder, lambda told: told["files"].update({"../../evil": "0"}))
    return "`files` names"


def blocks_too_few(folder):
    _edit(folder, lambda told: told.update(blocks=told["blocks"][:1]))
    return "names a block that provenance.json does not have"


@pytest.mark.parametrize(
    "damage",
    [
        damage_margin,
        lose_mass,
        change_spec,
        change_question,
        drop_part,
        other_format,
        not_finite,
        no_export,
        stray_path,
        blocks_too_few,
    ],
)
def test_an_export_that_was_changed_is_refused_and_nothing_is_taken(exported, elsewhere, damage):
    message = damage(exported)
    with pytest.raises(BadInput, match=message):
        take(elsewhere, exported)
    assert not (elsewhere.folder / "data" / "published").exists()


def test_bad_names_are_refused(exported, elsewhere):
    with pytest.raises(BadInput, match="can't be the name"):
        take(elsewhere, exported, name="../up")


def test_what_is_not_bought_is_not_exported(project, tmp_path):
    with pytest.raises(StoreError, match="600 cells are not in"):
        export_job(project.settings, Workspace(project.folder), "pub", tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_an_export_is_not_overwritten(bought, exported):
    with pytest.raises(BadInput, match="is there already"):
        export_job(bought.settings, Workspace(bought.folder), "pub", exported)


def _edit(folder, change) -> None:
    path = folder / "provenance.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def _rewrite(folder, change) -> None:
    """Change margins as somebody would who also sets the digest right."""
    path = folder / "margin.parquet"
    table = pd.read_parquet(path)
    columns = [name for name in table if name != "segment_id"]
    table[columns] = change(table[columns].to_numpy()).astype(np.float32)
    table.to_parquet(path, index=False)
    _edit(folder, lambda told: told["files"].update({"margin.parquet": file_sha256(path)}))


def test_the_key_of_published_answers_is_of_their_bytes(bought, exported):
    found = read_export(exported)
    own = json_id({"engine": "published", "source": found.key, "files": found.digests})
    assert own != found.key
