"""The contestants that need no other environment, against each other on a tiny model, and a whole case."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.answers.__main__ import contestants_for, main, parse
from benchmarks.answers.cases import SHORT, Asked, Case, Effort
from benchmarks.answers.figures import case_figures, headline
from benchmarks.answers.floor_contestant import FloorContestant, count_tokens
from benchmarks.answers.left_padded import LeftPadded, LeftPaddedAnswerer
from benchmarks.answers.ours import EngineContestant
from benchmarks.answers.run import check_agreement, run_case
from benchmarks.answers.timing import Timed
from benchmarks.answers.workload import Dealer
from qaemb.answers import build_answerer
from qaemb.errors import QaembError
from qaemb.settings import AnswererSettings

TEXTS = [f"on day {number} we ate an apple in the old kitchen again" for number in range(30)]
QUESTIONS = [f"Does the text mention {thing}?" for thing in ("food", "a place", "an animal", "the number seven")]
CASE = Case("short_30_text_first", "text_first", SHORT, 3, {"shared": 3, "left_padded": 2, "floor": 3, "reference": 1})


@pytest.mark.parametrize("prompt", ["text_first", "question_first"])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_left_padded_answers_like_reference(tiny_llm, prompt, batch_size):
    settings = AnswererSettings(engine="reference", model="tiny", prompt=prompt)
    texts = [TEXTS[0], "dog", "a much longer text than the others are, with many more words in it"]
    expected = build_answerer("r", settings, tiny_llm).answer(texts, QUESTIONS)
    tested = LeftPaddedAnswerer(settings, tiny_llm)
    tested.batch_size = batch_size
    found = tested.answer(texts, QUESTIONS)
    np.testing.assert_allclose(found.margin, expected.margin, atol=1e-4)
    np.testing.assert_allclose(found.mass, expected.mass, atol=1e-4)
    assert expected.margin.std() > 0.05


def test_a_case_gives_every_contestants_speed_and_the_ratios(tiny_llm):
    contestants = {
        "floor": FloorContestant(tiny_llm, "float32", 0.01),
        "shared": EngineContestant("shared", tiny_llm),
        "left_padded": LeftPadded(tiny_llm),
        "vllm": None,  # not in the case, so it is not called
        "reference": EngineContestant("reference", tiny_llm, sample_texts=1),
    }
    result = run_case(CASE, contestants, Dealer({SHORT: TEXTS}, QUESTIONS), Effort(2, 2, 4), tiny_llm)
    figures = case_figures(result)
    assert {name: one["n_cells"] for name, one in figures["contestants"].items()} == {
        "floor": 9,
        "shared": 9,
        "left_padded": 6,
        "reference": 3,
    }
    assert len(figures["contestants"]["shared"]["cells_per_core_s"]["all"]) == 2
    assert set(figures["ratios"]) == {"shared_over_left_padded", "shared_over_reference", "shared_share_of_floor"}
    assert figures["ratios"]["shared_share_of_floor"]["min"] > 0
    assert set(figures["largest_margin_difference_from_shared"]) == {"left_padded", "reference"}
    heads = headline({CASE.name: figures, "short_300_text_first": figures})
    assert heads["shared_share_of_floor"] == figures["ratios"]["shared_share_of_floor"]["median"]
    assert heads["vllm_prefix_hit_rate"] is None


def test_tokens_of_a_grid_are_those_of_its_prompts(tiny_llm):
    asked = Asked("text_first", SHORT, tuple(TEXTS[:3]), tuple(QUESTIONS))
    settings = AnswererSettings(engine="reference", model="tiny", prompt="text_first")
    reference = build_answerer("r", settings, tiny_llm)
    tokens = count_tokens(asked, tiny_llm)
    assert tokens.whole == reference.cost(asked.texts, asked.questions).tokens
    assert tokens.trie <= tokens.floor <= tokens.shared < tokens.whole
    assert tokens.header + 3 * tokens.prefix_mean + 12 * tokens.suffix_floor_mean == pytest.approx(
        tokens.floor, abs=0.2
    )
    assert tokens.header + 3 * tokens.prefix_mean + 12 * tokens.suffix_mean == pytest.approx(tokens.shared, abs=0.2)


def test_answers_that_differ_end_the_benchmark():
    asked = Asked("text_first", SHORT, ("a", "b"), ("c?",))
    shared = Timed(2, 1.0, 1.0, np.array([[0.5], [1.0]], np.float32))
    near = replace(shared, margin=shared.margin[:1] + 0.0009)
    check_agreement({"shared": shared, "left_padded": near, "imodelsx": Timed(2, 1.0, 1.0)}, asked)
    for wrong in (shared.margin + 0.0011, shared.margin * np.nan):
        with pytest.raises(QaembError, match="vllm and shared disagree"):
            check_agreement({"shared": shared, "vllm": replace(shared, margin=wrong)}, asked)


def test_the_answers_in_bfloat16_may_differ():
    asked = Asked("text_first", SHORT, ("a",), ("c?",))
    shared = Timed(1, 1.0, 1.0, np.array([[0.5]], np.float32))
    check_agreement({"shared": shared, "shared_bf16": replace(shared, margin=shared.margin + 0.1)}, asked)


def test_without_its_environment_a_peer_is_named_before_anything_is_measured(tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere" / "python")
    assert main(["--quick", "--imodelsx-python", nowhere, "--vllm-python", nowhere]) == 1
    assert "--without imodelsx" in capsys.readouterr().err
    assert main(["--quick", "--without", "imodelsx", "--vllm-python", nowhere]) == 1
    assert "--without vllm" in capsys.readouterr().err


def test_without_both_peers_nothing_of_theirs_is_needed(tmp_path):
    nowhere = str(tmp_path / "nowhere" / "python")
    options = parse(["--without", "imodelsx", "--without", "vllm", "--vllm-python", nowhere])
    assert set(contestants_for(options, tmp_path)) == {
        "floor",
        "shared",
        "left_padded",
        "floor_bf16",
        "shared_bf16",
        "reference",
    }
