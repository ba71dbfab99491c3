"""From a text, a question and a prompt to the token ids that every engine gets, and from logits to margin and mass.

A prompt falls into fixed strings around two places. Fixed strings may hold the model's control tokens; what a user
writes is tokenised with control tokens switched off, so that a text with `<|im_end|>` in it stays plain text. The parts
are tokenised one by one and their ids are joined, in the same way for every engine:

    header | first value, fixed | second value, fixed
    ------ shared ------------- | ------ suffix -----

The header is the same in every prompt, `shared` depends on the first value (the text for `text_first`) alone, `suffix`
on the second alone. Spaces before a place are tokenised with the value, as a word with its space is one token.

The answer is read from the model's logits at the last position: labels are the tokens that mean yes and no.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from qaemb.answers.prompts import Prompt
from qaemb.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

MAX_QUESTION_TOKENS = 256  # room kept for the question, whichever is asked, so that a cut depends on the text alone
_MIN_TEXT_TOKENS = 16
_TEXT, _QUESTION = "\ue000text\ue000", "\ue000question\ue000"  # private use: no template knows them

CONTROL = "⟦{}⟧"
"""How a control token is printed; the same characters written by a user stand without the brackets."""


@dataclass(frozen=True)
class Rendered:
    """Token ids of a grid of prompts: prompt (i, j) is `shared[i] + suffixes[j]`; `shared[i]` starts with `header`."""

    header: list[int]
    shared: list[list[int]]
    suffixes: list[list[int]]
    n_cut: int


class Renderer:
    """Renders prompts for one tokenizer; texts longer than `context` allows lose their beginning.

    The end of a text is kept because a segment's own words come last, after the context before them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, context: int) -> None:
        self._tokenizer = tokenizer
        self.text_first = prompt.order == "text_first"
        first, second = (_TEXT, _QUESTION) if self.text_first else (_QUESTION, _TEXT)
        before, self._lead_first, rest = _split(_template(tokenizer, prompt), first)
        between, self._lead_second, after = _split(rest, second)
        self.header = self._fixed(before, first=not prompt.chat)
        self._between, self._after = self._fixed(between), self._fixed(after)
        fixed = len(self.header) + len(self._between) + len(self._after)
        self._max_text = context - fixed - MAX_QUESTION_TOKENS
        if self._max_text < _MIN_TEXT_TOKENS:
            raise BadInput(
                f"prompt `{prompt.name}` takes {fixed} tokens and {MAX_QUESTION_TOKENS} are kept for the question: too "
                f"much for a model with a context of {context}; shorten the prompt or take another model"
            )

    def render(self, texts: Sequence[str], questions: Sequence[str]) -> Rendered:
        """Return the ids of all prompts of a grid; BadInput names a question that is too long."""
        text_lead, question_lead = self._lead_first, self._lead_second
        if not self.text_first:
            text_lead, question_lead = question_lead, text_lead
        text_ids = [self._plain(text_lead + text) for text in texts]
        question_ids = [self._plain(question_lead + question) for question in questions]
        for question, ids in zip(questions, question_ids, strict=True):
            if len(ids) > MAX_QUESTION_TOKENS:
                raise BadInput(f"question `{question[:60]}...` has {len(ids)} tokens; at most {MAX_QUESTION_TOKENS}")
        n_cut = sum(len(ids) > self._max_text for ids in text_ids)
        text_ids = [ids[-self._max_text :] for ids in text_ids]
        firsts, seconds = (text_ids, question_ids) if self.text_first else (question_ids, text_ids)
        shared = [self.header + ids + self._between for ids in firsts]
        return Rendered(self.header, shared, [ids + self._after for ids in seconds], n_cut)

    def _fixed(self, string: str, first: bool = False) -> list[int]:
        """Ids of a string of the prompt; `first`: with the token that the model expects at the very start, if any."""
        ids = self._tokenizer(string, add_special_tokens=False)["input_ids"] if string else []
        start = self._tokenizer("a", add_special_tokens=True)["input_ids"][0]
        if first and start == self._tokenizer.bos_token_id:
            ids = [start, *ids]
        return list(ids)

    def _plain(self, string: str) -> list[int]:
        """Ids of a string of the user: never a control token."""
        return list(self._tokenizer(string, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def visible(tokenizer: PreTrainedTokenizerBase, ids: list[int], start: int = 0) -> str:
    """Return the tokens from place `start` on as text, with control tokens in brackets.

    A run of tokens is decoded together with what precedes it, as some decoders drop the space at a start.
    """
    control = set(tokenizer.added_tokens_decoder)
    text = ""
    for is_control, group in groupby(range(start, len(ids)), key=lambda place: ids[place] in control):
        places = list(group)
        if is_control:
            tokens = tokenizer.convert_ids_to_tokens([ids[place] for place in places])
            text += "".join(CONTROL.format(token) for token in tokens)
        else:
            text += _decode(tokenizer, ids[: places[-1] + 1])[len(_decode(tokenizer, ids[: places[0]])) :]
    return text


def _decode(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _template(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """The whole prompt as a string with both places marked."""
    turns = [{"role": "system", "content": prompt.system}] if prompt.system else []
    for example in prompt.few_shot:
        answer = f"{prompt.prefill} {example.answer}" if prompt.prefill else example.answer
        turns.append({"role": "user", "content": _fill(prompt, example.text, example.question)})
        turns.append({"role": "assistant", "content": answer})
    turns.append({"role": "user", "content": _fill(prompt, _TEXT, _QUESTION)})
    if not prompt.chat:
        return _as_plain_text(turns)
    if not tokenizer.chat_template:
        raise BadInput(f"the model has no chat template; prompt `{prompt.name}` needs one (`chat: true`)")
    string = _as_chat(tokenizer, prompt, turns)
    if string.count(_TEXT) != 1 or string.count(_QUESTION) != 1:
        raise BadInput("the model's chat template does not keep the user's message once and unchanged")
    return string + (prompt.prefill or "")


def _as_chat(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, turns: list[dict[str, str]]) -> str:
    """Turns in the model's chat template, up to where the assistant speaks.

    Some templates refuse a system message or leave it out; for them it stands in front of the first user message.
    """
    from jinja2 import TemplateError

    switches: dict[str, Any] = {} if prompt.enable_thinking is None else {"enable_thinking": prompt.enable_thinking}
    problem = ""
    for attempt in [turns, _system_in_user(turns)] if prompt.system else [turns]:
        try:
            string = tokenizer.apply_chat_template(attempt, add_generation_prompt=True, tokenize=False, **switches)
        except TemplateError as error:
            problem = str(error)
            continue
        if not prompt.system or prompt.system.strip() in str(string):
            return str(string)
        problem = "it leaves out the system message"
    raise BadInput(f"the model's chat template refuses prompt `{prompt.name}`: {problem}; take another prompt")


def _system_in_user(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The turns without a system message: its text is a paragraph at the start of the first user message."""
    system, user, *others = turns
    return [{"role": "user", "content": f"{system['content'].rstrip()}\n\n{user['content']}"}, *others]


def _as_plain_text(turns: list[dict[str, str]]) -> str:
    """Turns as one text: an answer follows its question after a space, all else stands in its own paragraph."""
    text = ""
    for turn in turns:
        separator = "" if not text else " " if turn["role"] == "assistant" else "\n\n"
        text += separator + turn["content"]
    return text


def _fill(prompt: Prompt, text: str, question: str) -> str:
    """The user message with its places filled, in one pass: a text that holds `{question}` is left as it is."""
    parts = prompt.message.replace("{question}", "{text}").split("{text}")
    first, second = (text, question) if prompt.order == "text_first" else (question, text)
    return parts[0] + first + parts[1] + second + parts[2]


def _split(string: str, place: str) -> tuple[str, str, str]:
    """Return what precedes a place, the spaces just before it, and what follows it."""
    before, _, after = string.partition(place)
    bare = before.rstrip(" ")
    return bare, before[len(bare) :], after


_SPACES = ("", "Ġ", "▁")  # no space; a space in byte-level vocabularies; a space in SentencePiece vocabularies


@dataclass(frozen=True)
class Labels:
    """Sorted token ids of all one-token spellings of yes and of no."""

    yes: tuple[int, ...]
    no: tuple[int, ...]


def find_labels(tokenizer: PreTrainedTokenizerBase, yes: str, no: str) -> Labels:
    """Return the tokens that spell a label: as written, lower case, upper case, capitalised, with and without a space.

    Only spellings that are one token count, as only one token is looked at. BadInput if a label has none.
    """
    vocabulary = tokenizer.get_vocab()
    labels = Labels(_spellings(yes, vocabulary), _spellings(no, vocabulary))
    for label, ids in ((yes, labels.yes), (no, labels.no)):
        if not ids:
            raise BadInput(f"label `{label}` is not one token of this model in any spelling; choose another label")
    if set(labels.yes) & set(labels.no):
        raise BadInput(f"labels `{yes}` and `{no}` are the same token")
    return labels


def margin_and_mass(logits: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Return margin (n,) = logsumexp(yes) - logsumexp(no) and mass (n,) = P(yes) + P(no), float32.

    `logits` (n, vocabulary) are those of the last position; the mass is over the full vocabulary's softmax.
    """
    logits = logits.float()
    yes = logits[:, list(labels.yes)].logsumexp(1)
    no = logits[:, list(labels.no)].logsumexp(1)
    mass = (yes.logaddexp(no) - logits.logsumexp(1)).exp()
    return yes - no, mass.clamp(max=1.0)


def _spellings(label: str, vocabulary: dict[str, int]) -> tuple[int, ...]:
    words = {label, label.lower(), label.upper(), label.capitalize()}
    return tuple(sorted({vocabulary[s + word] for s in _SPACES for word in words if s + word in vocabulary}))
