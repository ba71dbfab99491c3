"""The pure parts of the answering benchmark: what is dealt out, the floor's operations, ratios, tables."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.answers.__main__ import effort_for, parse, result_folder
from benchmarks.answers.cases import FULL, LONG, QUICK, SHORT, Case, Effort
from benchmarks.answers.floor import Floor, Measured, Shapes, least_tokens, shapes_of
from benchmarks.answers.scale import LLAMA_8B, at_scale
from benchmarks.answers.table import DOCS, documented, with_part
from benchmarks.answers.timing import Timed, margin_difference, paired_ratio, summary
from benchmarks.answers.workload import Dealer, long_texts, questions_of, short_texts
from benchmarks.record import RESULTS
from qaemb.answers.rendering import Rendered
from qaemb.errors import BadInput
from qaemb.files import read_json
from qaemb.questions import load_bank, screen

ROOT = Path(__file__).parents[2]
POOL = {SHORT: [f"short {number}" for number in range(400)], LONG: [f"long {number}" for number in range(30)]}
QUESTIONS = [f"Is it {number}?" for number in range(300)]


def test_the_floors_operations_are_those_of_a_tiny_config_by_hand():
    config = SimpleNamespace(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=100,
    )
    # Heads are 8 / 4 = 2 wide. q 8x8, k and v 8x4, o 8x8, gate and up 8x16, down 16x8: 64+32+32+64+128+128+128 = 576.
    assert shapes_of(config).token_flops == 2 * 3 * 576
    assert shapes_of(config).cell_flops == 2 * 8 * 100
    config.head_dim = 5  # q 8x20, k and v 8x10, o 20x8: 160+80+80+160 = 480, and 384 as before
    assert shapes_of(config).token_flops == 2 * 3 * (480 + 384)


def test_llama_8b_has_its_published_number_of_weights():
    shapes = shapes_of(SimpleNamespace(**LLAMA_8B))
    norms = (2 * 32 + 1) * 4096
    embeddings = 2 * 128256 * 4096
    assert shapes.token_flops // 2 + embeddings + norms == 8_030_261_248


def test_the_floor_of_a_case_is_the_sum_of_its_tokens_and_cells():
    assert Measured(token_s=0.5, cell_s=0.25).seconds(tokens=10, cells=4) == 6.0
    measured = Floor(Shapes(((8, 8), (8, 16)), 2, (8, 32)), "bfloat16", 0.01).measure()
    assert measured.token_s > 0
    assert measured.cell_s > 0


def test_least_tokens_by_hand():
    rendered = Rendered(header=[1, 2], shared=[[1, 2, 3], [1, 2, 3, 4]], suffixes=[[7, 8, 9], [7, 8, 5], [6]], n_cut=0)
    # shared: 2 + (1 + 2) + 2 * 7. trie: 2 + {3, 34} + 2 * {7, 78, 789, 785, 6}. whole: (3 + 4) * 3 + 7 * 2.
    assert least_tokens(rendered) == {"shared": 19, "trie": 14, "whole": 35}


def test_ratios_are_paired_by_round():
    ours = [Timed(100, 1.0, 1.0), Timed(100, 2.0, 2.0), Timed(100, 4.0, 4.0)]  # 100, 50, 25 cells per core-second
    theirs = [Timed(10, 1.0, 9.0), Timed(10, 2.0, 9.0), Timed(10, 1.0, 9.0)]  # 10, 5, 10
    assert paired_ratio(ours, theirs) == {"median": 10.0, "min": 2.5, "max": 10.0, "all": [10.0, 10.0, 2.5]}
    assert summary([3.0, 1.0, 2.0, 123456.0]) == {"median": 2.5, "min": 1.0, "max": 123500.0, "all": [3, 1, 2, 123500]}


def test_margins_are_compared_on_the_texts_that_both_answered():
    a = Timed(4, 1.0, 1.0, np.array([[1, 2], [3, 4]], np.float32))
    b = Timed(2, 1.0, 1.0, np.array([[1, 2.5]], np.float32))
    assert margin_difference(a, b) == 0.5
    assert margin_difference(a, Timed(4, 1.0, 1.0)) is None


def test_no_text_is_dealt_twice_and_rounds_ask_different_questions():
    dealer = Dealer(POOL, QUESTIONS)
    case = Case("x", "text_first", SHORT, 30, {"shared": 5, "vllm": 2})
    asked = [dealer.sample(case, 4, 30), *(dealer.round(case, number) for number in range(3))]
    texts = [text for one in asked for text in one.texts]
    assert len(texts) == len(set(texts)) == 4 + 3 * 5
    assert len({question for one in asked for question in one.questions}) == 4 * 30
    assert asked[1].first(2).texts == asked[1].texts[:2]
    assert asked[1].first(2).n_cells == 60
    assert Dealer(POOL, QUESTIONS).sample(case, 4, 30) == asked[0]


def test_a_case_with_all_questions_asks_each_once_in_every_round():
    dealer = Dealer(POOL, QUESTIONS)
    case = Case("x", "text_first", LONG, 300, {"shared": 1})
    for number in range(3):
        assert sorted(dealer.round(case, number).questions) == sorted(QUESTIONS)


def test_what_is_not_there_is_said():
    dealer = Dealer(POOL, QUESTIONS[:20])
    with pytest.raises(BadInput, match="needs 30 questions; there are 20"):
        dealer.round(Case("x", "text_first", SHORT, 30, {"shared": 1}), 0)
    with pytest.raises(BadInput, match="31 wanted, 30 left"):
        dealer.sample(Case("x", "text_first", LONG, 10, {"shared": 1}), 31, 10)
    with pytest.raises(BadInput, match="the bank has 2 questions"):
        questions_of(QUESTIONS[:2], 300)


def test_texts_have_the_cases_lengths():
    assert short_texts(["one two", " ".join("abcdefghijk"), " ".join("abcdefghijkl")]) == [" ".join("abcdefghijk")]
    words = [str(number) for number in range(450)]
    long = long_texts([words, words[:199]])
    assert [text.split() for text in long] == [words[:200], words[200:400]]


def test_the_bank_and_the_template_give_300_different_questions():
    kept, _ = screen(load_bank(ROOT / "data" / "questions" / "bank"), similarity=0.9)
    bank = [question.text for question in kept]
    questions = questions_of(bank, 300)
    assert questions[: len(bank)] == bank
    assert len(set(questions)) == len(questions) == 300


def test_all_contestants_take_part_in_the_headlines_cases():
    by_name = {case.name: case for case in FULL}
    everyone = {"floor", "shared", "floor_bf16", "shared_bf16", "left_padded", "imodelsx", "vllm"}
    assert everyone <= set(by_name["short_30_text_first"].n_texts)
    assert everyone <= set(by_name["short_300_text_first"].n_texts)
    assert "vllm" in by_name["short_30_few_shot"].n_texts
    for case in (*FULL, *QUICK):
        assert case.n_texts["floor"] == case.n_texts["shared"] == max(case.n_texts.values())


@pytest.mark.parametrize(
    ("arguments", "committed"),
    [([], True), (["--rounds", "5"], True), (["--quick"], False), (["--without", "imodelsx"], False)],
)
def test_only_a_whole_run_writes_the_committed_result(arguments, committed):
    assert (result_folder(parse(arguments)) == RESULTS) == committed


def test_the_rounds_are_those_of_the_options():
    assert effort_for(parse([])).n_rounds == 3
    assert effort_for(parse(["--quick"])).n_rounds == 1
    assert effort_for(parse(["--quick", "--rounds", "2"])).n_rounds == 2
    with pytest.raises(SystemExit):
        parse(["--rounds", "0"])


def test_samples_of_long_prompts_are_small():
    effort = Effort(n_rounds=1, sample_texts=3, sample_questions=30)
    by_name = {case.name: effort.sample_for(case) for case in FULL}
    assert by_name["short_300_text_first"] == (3, 30)
    assert by_name["long_30_text_first"] == by_name["short_30_few_shot"] == (1, 10)


def test_the_arithmetic_at_scale_by_hand():
    scale = at_scale(prefix=15.0, suffix=14.0)
    per_cell = 15 / 674 + 14
    flops = per_cell * 13_958_643_712 + 2 * 4096 * 128256
    assert scale.tokens_per_cell == pytest.approx(per_cell)
    assert scale.flops_per_cell == pytest.approx(flops)
    assert scale.cells_per_s[0.6] == pytest.approx(0.6 * 790e12 / flops)
    assert scale.hours[1.0] == pytest.approx(106_895_052 / (790e12 / flops) / 3600)


def test_the_documented_numbers_are_those_of_the_committed_result():
    text = DOCS.read_text(encoding="utf-8")
    assert documented(text, read_json(RESULTS / "answers.json")) == text


def test_a_part_of_a_document_is_replaced_between_its_marks():
    text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
    assert with_part(text, "x", r"new \1") == "a\n<!-- x: begin -->\nnew \\1\n<!-- x: end -->\nb\n"
    with pytest.raises(BadInput, match="x: begin"):
        with_part("a", "x", "new")
