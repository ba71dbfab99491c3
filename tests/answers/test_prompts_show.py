"""`qaemb prompts`: what is printed is what the model gets, and the cost is that of the engines."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from qaemb.answers.engines.causal import CausalAnswerer
from qaemb.answers.engines.reference import ReferenceAnswerer
from qaemb.answers.engines.shared import SharedAnswerer
from qaemb.answers.prompts import prompt_names
from qaemb.answers.rendering import visible
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import Settings, load_settings
from qaemb.stages.prompts import Sample, list_prompts, show_prompt
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[2]
SAMPLE = Sample("We walked to the lake.", "Does the text mention water?", 50, 7)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def workspace(smollm2, tmp_path_factory) -> Workspace:
    """A project with the model made and nothing else."""
    made = Workspace(tmp_path_factory.mktemp("project"))
    made.model("smollm2").parent.mkdir(parents=True)
    made.model("smollm2").symlink_to(smollm2)
    return made


def sections(output: str) -> dict[str, tuple[str, str]]:
    """What is printed: the first word of each title, with the title and what stands under it."""
    parts = output.split("\n--- ")[1:]
    return {re.split(r"\W", part)[0]: tuple(part.split("\n", 1)) for part in parts}


def answerer(kind: type[CausalAnswerer], settings: Settings, workspace: Workspace, prompt: str) -> CausalAnswerer:
    spec = settings.answers.spec["smollm2"].model_copy(update={"prompt": prompt})
    return kind(spec, workspace.model("smollm2"))


def test_every_prompt_is_listed_with_its_form(capsys):
    list_prompts()
    head, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == prompt_names()
    by_name = {row.split()[0]: re.split(r"  +", row) for row in rows}
    assert by_name["few_shot"][1:4] == ["text_first", "chat", "5"]
    assert by_name["completion"][1:4] == ["text_first", "completion", "0"]
    assert by_name["question_first"][1] == "question_first"
    assert all(len(row) == 5 for row in by_name.values())
    assert re.split(r"  +", head)[0] == "prompt"


@pytest.mark.parametrize("name", prompt_names())
def test_the_parts_are_the_whole_prompt(settings, workspace, capsys, name):
    show_prompt(settings, workspace, name, "smollm2", SAMPLE)
    found = sections(capsys.readouterr().out)
    built = answerer(SharedAnswerer, settings, workspace, name)
    rendered = built.renderer.render([SAMPLE.text], [SAMPLE.question])
    ids = rendered.shared[0] + rendered.suffixes[0]
    printed = "".join(found[part][1].removesuffix("\n") for part in ("header", "shared", "suffix"))
    assert printed.replace("⟦", "").replace("⟧", "") == built.tokenizer.decode(ids)
    counts = [int(re.search(r"(\d+) tokens", found[part][0]).group(1)) for part in ("header", "shared", "suffix")]
    assert counts[0] == len(rendered.header)
    assert sum(counts) == len(ids)


@pytest.mark.parametrize("name", ["text_first", "question_first", "few_shot"])
def test_the_cost_is_that_of_the_engines(settings, workspace, capsys, name):
    show_prompt(settings, workspace, name, "smollm2", SAMPLE)
    cost = sections(capsys.readouterr().out)["cost"][1]
    first_words = words_of_one_token(settings, workspace)  # as many tokens as the sample, and no two begin alike
    texts = [SAMPLE.text.replace("We", word, 1) for word in first_words[: SAMPLE.n_texts]]
    questions = [SAMPLE.question.replace("Does", word, 1) for word in first_words[: SAMPLE.n_questions]]
    for engine, kind in (("shared", SharedAnswerer), ("reference", ReferenceAnswerer)):
        tokens = answerer(kind, settings, workspace, name).cost(texts, questions).tokens
        cells = SAMPLE.n_texts * SAMPLE.n_questions
        assert re.search(rf"engine {engine} +{tokens / cells:.1f} tokens a cell, {tokens:,} in all", cost)
    alike = [SAMPLE.text] * SAMPLE.n_texts, [SAMPLE.question] * SAMPLE.n_questions
    fewer = answerer(SharedAnswerer, settings, workspace, name).cost(*alike).tokens
    assert fewer < answerer(SharedAnswerer, settings, workspace, name).cost(texts, questions).tokens


def words_of_one_token(settings: Settings, workspace: Workspace) -> list[str]:
    vocabulary = answerer(SharedAnswerer, settings, workspace, "text_first").tokenizer.get_vocab()
    return sorted(token[1:] for token in vocabulary if re.fullmatch("Ġ[A-Z][a-z]{3}", token))


def test_a_users_control_token_is_told_from_the_models(settings, workspace, capsys):
    show_prompt(settings, workspace, "text_first", "smollm2", Sample("a <|im_end|> b", "Why?", 1, 1))
    found = sections(capsys.readouterr().out)
    assert found["shared"][1] == " a <|im_end|> b\nQuestion:\n"
    assert "Why?⟦<|im_end|>⟧\n⟦<|im_start|>⟧assistant" in found["suffix"][1]


def test_labels_are_shown_as_the_vocabulary_spells_them(settings, workspace, capsys):
    show_prompt(settings, workspace, "text_first", "smollm2", SAMPLE)
    answer = sections(capsys.readouterr().out)["answer"][1]
    tokenizer = AutoTokenizer.from_pretrained(workspace.model("smollm2"))
    for token in ("Yes", "ĠYes", "No", "Ġno"):
        assert f"{token} ({tokenizer.convert_tokens_to_ids(token)})" in answer


def test_a_text_that_is_cut_is_said_to_be(settings, workspace, capsys):
    show_prompt(settings, workspace, "text_first", "smollm2", SAMPLE)
    assert "cut off" not in capsys.readouterr().out
    show_prompt(settings, workspace, "text_first", "smollm2", Sample("dog " * 10_000, "Why?", 1, 1))
    assert "its beginning is cut off" in capsys.readouterr().out


def test_spaces_at_the_start_of_a_part_stay_where_a_decoder_drops_them():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {"<s>": 0, "▁a": 1, "▁dog": 2, "<unk>": 3}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<s>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", unk_token="<unk>")
    assert visible(tokenizer, [0, 1, 2], 2) == " dog"
    assert visible(tokenizer, [0, 2, 0], 0) == "⟦<s>⟧" + tokenizer.decode([0, 2]).removeprefix("<s>") + "⟦<s>⟧"


def test_what_is_unknown_or_missing_is_named(settings, workspace, tmp_path):
    with pytest.raises(BadParameter, match=r"no answerer `zeroshot` that takes a prompt.*there are: smollm2"):
        show_prompt(settings, workspace, "text_first", "zeroshot", SAMPLE)
    with pytest.raises(BadParameter, match="^there is no prompt `nope`; there are completion"):
        show_prompt(settings, workspace, "nope", "smollm2", SAMPLE)
    with pytest.raises(BadInput, match="question number 0 is empty"):
        show_prompt(settings, workspace, "text_first", "smollm2", Sample("dog", " ", 1, 1))
    with pytest.raises(BadInput, match="`smollm2` is not in .*; run `dvc repro model@smollm2` first"):
        show_prompt(settings, Workspace(tmp_path), "text_first", "smollm2", SAMPLE)


def test_the_command_line_shows_a_prompt_file_of_the_project(settings, workspace):
    (workspace.root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    mine = 'name: mine\norder: text_first\nchat: true\npieces: ["T: {text}", " Q: {question}"]\n'
    (workspace.root / "mine.yaml").write_text(mine)
    command = [sys.executable, "-c", "from qaemb.cli import main; main()", "prompts", "show", "./mine.yaml"]
    options = ["--answerer", "smollm2", "--text", "A dog.", "--question", "Why?", "--texts", "1", "--questions", "1"]
    done = subprocess.run([*command, *options], cwd=workspace.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = sections(done.stdout)
    assert found["shared"][1].startswith(" A dog. Q:")
    assert "1 texts x 1 questions" in found["cost"][0]
