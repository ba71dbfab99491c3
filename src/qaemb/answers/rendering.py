"""From a text, a question and a prompt to the token ids that every engine gets.

A prompt falls into fixed strings around two places. Fixed strings may hold the model's control tokens; what a user
writes is tokenised with control tokens switched off, so that a text with `<|im_end|>` in it stays plain text. The parts
are tokenised one by one and their ids are joined, in the same way for every engine:

    header | first value, fixed | second value, fixed
    ------ shared ------------- | ------ suffix -----

The header is the same in every prompt, `shared` depends on the first value (the text for `text_first`) alone, `suffix`
on the second alone. Spaces before a place are tokenised with the value, as a word with its space is one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qaemb.answers.prompts import Prompt
from qaemb.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_QUESTION_TOKENS = 256  # room kept for the question, whichever is asked, so that a cut depends on the text alone
_MIN_TEXT_TOKENS = 16
_TEXT, _QUESTION = "\ue000text\ue000", "\ue000question\ue000"  # private use: no template knows them


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


def _template(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> str:
    """The whole prompt as a string with both places marked."""
    turns = [{"role": "system", "content": prompt.system}] if prompt.system else []
    for example in prompt.few_shot:
        turns.append({"role": "user", "content": _fill(prompt, example.text, example.question)})
        turns.append({"role": "assistant", "content": example.answer})
    turns.append({"role": "user", "content": _fill(prompt, _TEXT, _QUESTION)})
    if not prompt.chat:
        return _as_plain_text(turns)
    if not tokenizer.chat_template:
        raise BadInput(f"the model has no chat template; prompt `{prompt.name}` needs one (`chat: true`)")
    string = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    if not isinstance(string, str) or string.count(_TEXT) != 1 or string.count(_QUESTION) != 1:
        raise BadInput("the model's chat template does not keep the user's message once and unchanged")
    return string


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
    kept = before.rstrip(" ")
    return kept, before[len(kept) :], after
