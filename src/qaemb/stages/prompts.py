"""Commands `prompts list` and `prompts show`: which prompts there are, and exactly what a model sees of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from qaemb.answers import build_answerer
from qaemb.answers.engines.causal import CausalAnswerer
from qaemb.answers.prompts import load_prompt, prompt_description, prompt_names
from qaemb.answers.rendering import CONTROL, visible
from qaemb.errors import BadInput, BadParameter
from qaemb.models.folder import INFO_FILE
from qaemb.models.inputs import check_inputs
from qaemb.settings import Settings
from qaemb.workspace import Workspace


@dataclass(frozen=True)
class Sample:
    """What a prompt is shown with: one text and one question, and the size of the grid whose cost is asked for."""

    text: str
    question: str
    n_texts: int
    n_questions: int


@dataclass(frozen=True)
class _Parts:
    """Token ids of one prompt: `header` is common to all, `prefix` to a row or column, `suffix` is a cell's."""

    header: list[int]
    prefix: list[int]
    suffix: list[int]

    def shared_tokens(self, n_first: int, n_second: int) -> int:
        """Return the tokens that engine `shared` computes for a grid of prompts as long as this one.

        It computes fewer where suffixes begin alike; how many depends on which they are.
        """
        return len(self.header) + n_first * len(self.prefix) + n_first * n_second * len(self.suffix)

    def whole_tokens(self) -> int:
        """Return the tokens of one whole prompt: what engine `reference` computes for every cell."""
        return len(self.header) + len(self.prefix) + len(self.suffix)


def list_prompts() -> None:
    """Print the prompts of the package: name, order, chat or completion, few-shot turns, what it is for."""
    rows = [("prompt", "order", "form", "few-shot", "what it is")]
    for name in prompt_names():
        prompt = load_prompt(name)
        form = "chat" if prompt.chat else "completion"
        rows.append((name, prompt.order, form, str(len(prompt.few_shot)), prompt_description(name)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + [row[4]]))


def show_prompt(settings: Settings, workspace: Workspace, name: str, answerer: str, sample: Sample) -> None:
    """Print what the model of an answerer sees of a prompt, part by part, with tokens, labels and the cost of a grid.

    BadParameter names an unknown prompt or answerer, BadInput a model that is not made yet or a blank text.
    """
    load_prompt(name)  # before anything else, so that a wrong file is not blamed on the answerer
    check_inputs([sample.text], [sample.question])
    built = _with_prompt(settings, workspace, name, answerer)
    rendered = built.renderer.render([sample.text], [sample.question])
    skip = len(rendered.header)
    parts = _Parts(rendered.header, rendered.shared[0][skip:], rendered.suffixes[0])
    kind = "chat" if built.prompt.chat else "completion"
    turns = f"{len(built.prompt.few_shot)} few-shot turns"
    print(f"prompt {name}: {built.prompt.order}, {kind}, {turns}; model {built.info.name} (answerer {answerer})")
    print(f"Control tokens are printed as {CONTROL.format('token')}.")
    if rendered.n_cut:
        print("The text is too long for the model's context: its beginning is cut off.")
    _print_parts(built, parts)
    _print_labels(built)
    _print_cost(built, parts, sample)


def _with_prompt(settings: Settings, workspace: Workspace, name: str, answerer: str) -> CausalAnswerer:
    """Return the answerer with its prompt replaced; BadParameter if no tokens of a local model can be shown for it."""
    spec = settings.answers.spec
    if answerer in spec and spec[answerer].parts:
        kind = "a cascade" if spec[answerer].engine == "cascade" else "an ensemble"
        raise BadParameter(
            f"answerer `{answerer}` is {kind}, each member with a prompt of its own; name a member: "
            f"{', '.join(spec[answerer].parts)}"
        )
    with_prompt = {key: one for key, one in spec.items() if one.prompt is not None}
    if answerer not in with_prompt:
        raise BadParameter(
            f"no answerer `{answerer}` that takes a prompt in params.yaml, section answers.spec; "
            f"there are: {', '.join(with_prompt) or 'none'}"
        )
    one = with_prompt[answerer]
    if one.model is None or not one.needs_model:
        raise BadParameter(
            f"answerer `{answerer}` sends messages to a chat server, whose tokenizer makes the prompt: there are no "
            "tokens to show here; name an answerer with a local model"
        )
    folder = workspace.model(one.model)
    if not (folder / INFO_FILE).exists():
        raise BadInput(f"model `{one.model}` is not in {folder} yet; run `dvc repro model@{one.model}` first")
    # Every other engine that takes a prompt is a causal language model.
    return cast(CausalAnswerer, build_answerer(answerer, one.model_copy(update={"prompt": name}), folder))


def _print_parts(built: CausalAnswerer, parts: _Parts) -> None:
    once = "text" if built.prompt.order == "text_first" else "question"
    before: list[int] = []
    for title, ids in (
        ("header: {} tokens, computed once per call", parts.header),
        (f"shared prefix: {{}} tokens, once per {once}", parts.prefix),
        ("suffix: {} tokens, once per cell", parts.suffix),
    ):
        print(f"\n--- {title.format(len(ids))}")
        print(visible(built.tokenizer, before + ids, len(before)))
        before = before + ids


def _print_labels(built: CausalAnswerer) -> None:
    print("\n--- answer: the next token, any of")
    for word, ids in (("yes", built.labels.yes), ("no", built.labels.no)):
        tokens = built.tokenizer.convert_ids_to_tokens(list(ids))
        print(f"{word:<4} " + "  ".join(f"{token} ({number})" for number, token in zip(ids, tokens, strict=True)))


def _print_cost(built: CausalAnswerer, parts: _Parts, sample: Sample) -> None:
    n_cells = sample.n_texts * sample.n_questions
    grid = (sample.n_texts, sample.n_questions)
    total = parts.shared_tokens(*(grid if built.prompt.order == "text_first" else grid[::-1]))
    whole = parts.whole_tokens()
    print(f"\n--- cost of {sample.n_texts:,} texts x {sample.n_questions:,} questions as long as these")
    others = "questions" if built.prompt.order == "text_first" else "texts"
    print(f"engine shared     {total / n_cells:.1f} tokens a cell, {total:,} in all (fewer where {others} begin alike)")
    print(f"engine reference  {whole:.1f} tokens a cell, {whole * n_cells:,} in all (each prompt on its own)")
