"""The rounds of a case: every contestant answers the same texts and questions, one after the other, then again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.answers.cases import Asked, Case, Effort
from benchmarks.answers.floor_contestant import Tokens, count_tokens
from benchmarks.answers.timing import Contestant, Timed, margin_difference
from benchmarks.answers.workload import Dealer
from qaemb.errors import QaembError

_SAME_ANSWERS = ("left_padded", "vllm", "reference")  # in float32, with the same prompts as `shared`
_TOLERANCE = 1e-3  # nats


@dataclass(frozen=True)
class CaseResult:
    """A case, the tokens of each round, and each contestant's timed calls, round by round."""

    case: Case
    tokens: list[Tokens]
    calls: dict[str, list[Timed]]


def run_case(
    case: Case, contestants: Mapping[str, Contestant], dealer: Dealer, effort: Effort, folder: Path
) -> CaseResult:
    """Return what a case gave on the model in `folder`; QaembError where answers that must agree do not."""
    taking_part = [name for name in contestants if name in case.n_texts]
    result = CaseResult(case, [], {name: [] for name in taking_part})
    with tqdm(total=len(taking_part) * (effort.n_rounds + 1), desc=case.name, unit="call") as bar:
        sample = dealer.sample(case, *effort.sample_for(case))
        for name in taking_part:
            bar.set_postfix_str(f"{name} gets ready")
            contestants[name].prepare(sample)
            bar.update()
        for number in range(effort.n_rounds):
            asked = dealer.round(case, number)
            result.tokens.append(count_tokens(asked.first(case.n_texts["shared"]), folder))
            for name in taking_part:
                bar.set_postfix_str(f"round {number + 1}, {name}")
                result.calls[name].append(contestants[name].answer(asked.first(case.n_texts[name])))
                bar.update()
            check_agreement({name: calls[-1] for name, calls in result.calls.items()}, asked)
    return result


def check_agreement(calls: Mapping[str, Timed], asked: Asked) -> None:
    """QaembError names a contestant whose margins differ from those of `shared` though its prompts are the same."""
    for name in _SAME_ANSWERS:
        difference = margin_difference(calls["shared"], calls[name]) if name in calls else None
        if difference is not None and not difference <= _TOLERANCE:
            raise QaembError(
                f"{name} and shared disagree by {difference:.2g} nats under prompt {asked.prompt}, more than "
                f"{_TOLERANCE}: one of the two computes something else, and their speeds can't be compared"
            )
