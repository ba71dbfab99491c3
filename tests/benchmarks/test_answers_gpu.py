"""The GPU benchmark as far as a CPU reaches: the tiny shape, its numbers, and what it refuses."""

import pytest
import torch

from benchmarks.answers.cases import SHORT, Case
from benchmarks.answers.gpu import Bench, Run, check_device, figures_of, main
from benchmarks.answers.random_model import make_folder, matmul_flops, random_weights
from benchmarks.answers.workload import Dealer
from qaemb.errors import QaembError

TEXTS = [f"on day {number} we ate an apple in the old kitchen again" for number in range(30)]
QUESTIONS = [f"Is it about number {number}?" for number in range(30)]


@pytest.fixture(scope="module")
def bench(tiny_llm, tmp_path_factory) -> Bench:
    folder = make_folder("tiny", tiny_llm, tmp_path_factory.mktemp("gpu") / "tiny")
    return Bench(random_weights(folder, "cpu"), folder)


def test_the_tiny_shape_answers_on_the_cpu(bench):
    case = Case("x", "text_first", SHORT, 30, {"shared": 2})
    dealer = Dealer({SHORT: TEXTS}, QUESTIONS)
    answerer = bench.fastest(dealer.sample(case, 1, 4), budgets=(None, 4096))
    run = bench.answer(answerer, dealer.round(case, 0))
    # 2 blocks of 64x64, 64x32, 64x32, 64x64, 64x128, 64x128, 128x64; the head 64x49152
    block = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128
    assert run.n_cells == 60
    assert run.flops == run.tokens * 2 * 2 * block + 60 * 2 * 64 * 49152
    assert run.wall_s > 0


def test_a_cases_numbers_by_hand():
    figures = figures_of([Run(10, 100, 2.0, 1e6), Run(10, 100, 4.0, 1e6), Run(10, 100, 1.0, 1e6)], None, 2e6)
    assert figures["cells_per_s"]["all"] == [5.0, 2.5, 10.0]
    assert figures["tokens_per_s"]["median"] == 50.0
    assert figures["share_of_matmul_rate"] == {"median": 0.25, "min": 0.125, "max": 0.5, "all": [0.25, 0.125, 0.5]}
    assert figures["batch_tokens"] == "the engine's choice"


def test_the_rate_of_multiplication_is_measured():
    assert matmul_flops("cpu", 64) > 0


def test_a_shape_too_large_for_a_cpu_is_refused():
    with pytest.raises(QaembError, match="shape llama8b is for a GPU"):
        check_device("llama8b", "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_it_says_so(capsys):
    assert main([]) == 1
    assert "needs a CUDA device" in capsys.readouterr().err
