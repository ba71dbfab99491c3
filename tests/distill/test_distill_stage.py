"""Stage `distill` and `qaemb students` on a small project with a tiny encoder: files, metrics, MLflow, adoption."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.answers import build_answerer
from qaemb.answers.students import read_student
from qaemb.errors import BadInput, BadParameter
from qaemb.files import read_json, write_json, write_table
from qaemb.identity import file_sha256, text_id
from qaemb.models.encoder import Encoder
from qaemb.models.folder import make_model
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import ModelSettings, Settings
from qaemb.stages.distill import adopt_student, distill, list_students
from qaemb.workspace import Workspace

from ..answers.conftest import save_tiny_encoder

PARAMS = Path(__file__).parents[2] / "params.yaml"
STORIES = {f"s{number}": "test" if number == 9 else "train" for number in range(10)}
BANK = [Question(f"q{number}", f"Does the text mention thing {number}?") for number in range(12)]
TRS = 24
WORDS = ["red", "fox", "river", "boat", "near", "old", "door", "soup", "lamp", "hand", "road", "song", "night", "coat"]


class World:
    """Ten stories; the teacher's answers follow from the encoder's vectors, so that a student can learn them."""

    def __init__(self, root: Path, encoder: Path) -> None:
        self.workspace = Workspace(root)
        shutil.copytree(encoder, self.workspace.model("tiny"))
        write_tables(
            self.workspace.questions, BANK, [QuestionSet("full", tuple(BANK)), QuestionSet("two", tuple(BANK[:2]))], []
        )
        stories = [(story, split, TRS, 2.0, 1.0) for story, split in STORIES.items()]
        columns = ["story", "split", "n_trs", "tr_s", "first_tr_s"]
        write_table(self.workspace.dataset / "stories.parquet", pd.DataFrame(stories, columns=columns))
        rng = np.random.default_rng(0)
        self.texts = [(story, tr, " ".join(rng.choice(WORDS, 6))) for story in STORIES for tr in range(TRS)]
        self.segment("tr", [text for _, _, text in self.texts])
        self.segment("tr_marked", [f"so [[{text}]] then" for _, _, text in self.texts])
        vectors = Encoder(encoder).embed([text for _, _, text in self.texts])
        weights = np.random.default_rng(1).standard_normal((vectors.shape[1], len(BANK)))
        self.margin = 3 * (vectors - vectors.mean(0)) @ weights / (vectors @ weights).std(0)

    def segment(self, name: str, texts: list[str]) -> None:
        occurrences = pd.DataFrame(
            [(story, tr, 1.0 + 2 * tr, text_id(text)) for (story, tr, _), text in zip(self.texts, texts, strict=True)],
            columns=["story", "index", "time_s", "segment_id"],
        )
        segments = pd.DataFrame({"segment_id": map(text_id, texts), "text": texts}).drop_duplicates()
        write_table(self.workspace.segments(name) / "segments.parquet", segments)
        write_table(self.workspace.segments(name) / "occurrences.parquet", occurrences)

    def publish(self) -> None:
        table = pd.DataFrame((self.margin > 0).astype(np.float32), columns=[question.text for question in BANK])
        table.insert(0, "tr", [tr for _, tr, _ in self.texts])
        table.insert(0, "story", [story for story, _, _ in self.texts])
        write_table(self.workspace.dataset / "published" / "gpt4.parquet", table)

    def answer(self, job: str, success: bool = True) -> None:
        folder = self.workspace.answers(job)
        ids = [text_id(text) for _, _, text in self.texts]
        for kind, values in (("margin", self.margin[:, :2]), ("mass", np.ones((len(ids), 2)))):
            table = pd.DataFrame(values.astype(np.float32), columns=["q0", "q1"])
            table.insert(0, "segment_id", ids)
            write_table(folder / f"{kind}.parquet", table.drop_duplicates("segment_id"))
        verdict = {"success": success, "answers_sha256": file_sha256(folder / "margin.parquet")}
        write_json(self.workspace.validation(job) / "validation.json", verdict)

    def settings(self, **students: dict) -> Settings:
        values = yaml.safe_load(PARAMS.read_text())
        values["dataset"] |= {"name": "tiny", "test_stories": ["s9"]}
        values["model"]["tiny"] = {"source": "folder", "path": str(self.workspace.model("tiny")), "kind": "encoder"}
        values["segments"]["tr_marked"] = {"kind": "tr", "before": 1, "after": 1, "mark": True}
        values["answers"]["jobs"]["teach"] = {"answerer": "smollm2", "segmentation": "tr", "set": "two"}
        values["distill"] = {
            "students": {name: {"model": "tiny", "input": "data/work"} | own for name, own in students.items()}
        }
        return Settings.model_validate(values)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("source")
    save_tiny_encoder(source)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_model("tiny", ModelSettings(source="folder", path=source, kind="encoder"), folder)
    return folder


@pytest.fixture
def world(tmp_path, encoder) -> World:
    return World(tmp_path, encoder)


def test_a_student_of_a_job_learns_its_answers_and_answers_like_any_answerer(world, capsys):
    world.answer("teach")
    settings = world.settings(mine={"kind": "heads", "job": "teach"})
    distill(settings, world.workspace, "mine")
    folder = world.workspace.students / "mine"
    metrics = read_json(world.workspace.metrics("distill", "mine"))
    assert metrics["n_questions"] == 2
    assert metrics["plain"]["test_auc"] > 0.9
    assert "2 taught questions" in capsys.readouterr().out
    spec = settings.answers.spec["zeroshot"].model_copy(update={"model": "tiny", "student": str(folder)})
    texts = [text for story, _, text in world.texts if story == "s9"]
    answers = build_answerer("mine", spec, world.workspace.model("tiny")).answer(texts, [q.text for q in BANK[:2]])
    truth = world.margin[[story == "s9" for story, _, _ in world.texts], :2]
    assert ((answers.margin > 0) == (truth > 0)).mean() > 0.8
    card = (folder / "CARD.md").read_text()
    assert "| teacher | teach |" in card
    assert BANK[0].text in card


def test_the_run_and_the_model_are_in_mlflow_and_the_model_answers_alike(world):
    import mlflow

    world.answer("teach")
    settings = world.settings(mine={"kind": "heads", "job": "teach"})
    distill(settings, world.workspace, "mine")
    client = mlflow.MlflowClient(f"sqlite:///{world.workspace.mlruns.resolve() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("distill tiny")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["kind"] == "heads"
    assert run.data.metrics["plain.test_auc"] > 0.9
    version = client.get_model_version_by_alias("student-mine", "champion")
    assert version.run_id == run.info.run_id
    assert version.tags["qaemb.key"] == read_student(world.workspace.students / "mine").digest


def test_published_answers_teach_both_forms_of_reading_in_the_banks_words(world):
    world.publish()
    question_map = world.workspace.root / "data" / "map.yaml"
    question_map.parent.mkdir(exist_ok=True)
    sources = [{"name": "q5", "teacher": [BANK[0].question_id, BANK[1].question_id]}]
    question_map.write_text(yaml.safe_dump({"questions": sources}))
    own = {"kind": "both", "published": "gpt4", "segmentations": ["tr", "tr_marked"], "question_map": "data/map.yaml"}
    distill(world.settings(mine=own), world.workspace, "mine")
    student = read_student(world.workspace.students / "mine")
    assert [question.text for question in student.questions] == [BANK[5].text]
    assert [reader.context for reader in student.readers] == [False, True]
    assert all(len(reader.conditioned.anchors) == len(BANK) for reader in student.readers)
    metrics = read_json(world.workspace.metrics("distill", "mine"))
    assert {"plain", "context"} <= set(metrics)
    table = pd.read_parquet(world.workspace.students / "mine" / "test_plain.parquet")
    assert table["question"].tolist() == [BANK[5].text]
    assert table["yes_rate"][0] == pytest.approx(
        (world.margin[-TRS:, :2] > 0).any(1).mean()
    )  # a yes to either of the two is a yes


def test_test_stories_change_no_weight(world):
    world.publish()
    own = {"kind": "both", "published": "gpt4", "segmentations": ["tr"]}
    distill(world.settings(mine=own), world.workspace, "mine")
    before = read_student(world.workspace.students / "mine").digest
    world.margin[-TRS:] *= -1
    world.publish()
    distill(world.settings(mine=own), world.workspace, "mine")
    assert read_student(world.workspace.students / "mine").digest == before


def test_wrong_input_is_named_and_nothing_is_left_behind(world):
    world.answer("teach", success=False)
    settings = world.settings(
        mine={"kind": "heads", "job": "teach"}, other={"kind": "heads", "published": "x", "segmentations": ["tr"]}
    )
    with pytest.raises(BadParameter, match="no student `nobody` in distill.students; there are: mine, other"):
        distill(settings, world.workspace, "nobody")
    with pytest.raises(Exception, match="failed validation"):
        distill(settings, world.workspace, "mine")
    with pytest.raises(BadInput, match="published/x.parquet does not exist"):
        distill(settings, world.workspace, "other")
    assert not world.workspace.students.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nothing: 1", "is no question map"),
        ("questions: [{name: q99, teacher: [a]}]", "`q99` is no question of the bank"),
        ("questions: [{name: q1, teacher: [abc]}]", "the teacher has no question with id abc"),
    ],
)
def test_a_wrong_question_map_is_refused(world, content, message):
    world.publish()
    path = world.workspace.root / "map.yaml"
    path.write_text(content)
    own = {"kind": "both", "published": "gpt4", "segmentations": ["tr"], "question_map": "map.yaml"}
    with pytest.raises(BadInput, match=message):
        distill(world.settings(mine=own), world.workspace, "mine")


def test_a_student_is_adopted_and_another_one_is_not_overwritten_unasked(world, capsys):
    world.answer("teach")
    settings = world.settings(mine={"kind": "heads", "job": "teach"})
    with pytest.raises(BadInput, match="`distill` has made no student `mine`"):
        adopt_student(world.workspace, "mine")
    distill(settings, world.workspace, "mine")
    target = adopt_student(world.workspace, "mine")
    assert adopt_student(world.workspace, "mine") == target  # the same one again
    list_students(world.workspace)
    assert "data/students/mine: on tiny, reads plain texts, 2 questions" in capsys.readouterr().out
    world.margin = world.margin[::-1].copy()
    world.answer("teach")
    distill(settings, world.workspace, "mine")
    with pytest.raises(BadInput, match="is another student; adopt with --replace"):
        adopt_student(world.workspace, "mine")
    adopt_student(world.workspace, "mine", replace=True)
    assert read_student(target).digest == read_student(world.workspace.students / "mine").digest
