"""Engine `server`, API `chat`: messages to `/chat/completions`, for servers whose tokenizer is not at hand.

What is weaker than in `completions`: the log-probabilities are those of the k most likely tokens, labels are matched by
their letters, and whether control tokens in a text stay plain text is up to the server. A text is never cut here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from qaemb.answers.answerer import Answerer, Answers, Cost, check_finite, engine_version
from qaemb.answers.engines.server.calls import ServerCalls
from qaemb.answers.engines.server.logprobs import Cell, LogProb, read_cell, tokens_by_word
from qaemb.answers.prompts import Prompt, load_prompt
from qaemb.errors import BadParameter
from qaemb.models.inputs import Progress, check_inputs
from qaemb.settings import ServerAnswererSettings

if TYPE_CHECKING:
    from qaemb.answers.engines.server.client import Connection

_LETTERS_PER_TOKEN = 4  # of English, for the estimate of the cost
_LIMITS = ("max_tokens", "max_completion_tokens")  # what a server calls the length of an answer
Messages = list[dict[str, str]]


class _Token(BaseModel):
    token: str
    logprob: LogProb


class _Position(BaseModel):
    top_logprobs: list[_Token] = Field(min_length=1)


class _LogProbs(BaseModel):
    content: list[_Position]


class _Choice(BaseModel):
    logprobs: _LogProbs


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class ChatAnswerer(Answerer):
    """Sends one conversation a cell and reads the log-probabilities of the first token of the answer."""

    engine_name = "server"

    def __init__(self, settings: ServerAnswererSettings, folder: Path | None = None) -> None:
        if settings.prompt is None:
            raise BadParameter("engine `server` needs a `prompt`")
        self._calls = ServerCalls(settings)
        self.prompt = load_prompt(settings.prompt)
        if not self.prompt.chat:
            raise BadParameter(f"prompt `{self.prompt.name}` is plain text (`chat: false`); take api `completions`")
        if self.prompt.prefill:
            raise BadParameter(f"prompt `{self.prompt.name}` has a `prefill`, which api `chat` can't send")
        self._labels = tokens_by_word(self.prompt)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What is known of the server, how many log-probabilities it is asked for, and the prompt."""
        server = self._calls.settings
        return {
            "family": "server",
            "api": "chat",
            "model": server.model,
            "label": server.label,
            "logprobs": "top_words",
            "top_logprobs": server.top_logprobs,
            "prompt": self.prompt.content(),
            "engine_version": engine_version(),
        }

    @property
    def figures(self) -> dict[str, float]:
        """Shares of bounded and unanswered cells, requests and retries, since the answerer was built."""
        return self._calls.tally.figures()

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return an estimate: a token for every 4 characters of the messages, as there is no tokenizer; no text is cut.

        What a chat template adds is not counted.
        """
        check_inputs(texts, questions)
        fixed = sum(len(message["content"]) for message in self._messages("", ""))
        variable = sum(map(len, texts)) * len(questions) + sum(map(len, questions)) * len(texts)
        tokens = (fixed * len(texts) * len(questions) + variable) // _LETTERS_PER_TOKEN
        return Cost(tokens, 0, self._calls.usd(tokens))

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin and mass of every text and question."""
        check_inputs(texts, questions)
        limit = self._limit
        shape = (len(texts), len(questions))
        margin, mass = np.empty(shape, np.float32), np.empty(shape, np.float32)

        async def answer(connection: Connection, place: tuple[int, int]) -> None:
            messages = self._messages(texts[place[0]], questions[place[1]])
            cell = await self._ask(connection, limit, messages)
            margin[place], mass[place] = cell.margin, cell.mass
            self._calls.tally.add([cell])
            if progress:
                progress(1)

        async def answer_all(connection: Connection) -> None:
            await connection.each(self._places(*shape), partial(answer, connection))

        with self._calls.losing(margin.size):
            self._calls.server.run(answer_all)
        return check_finite(Answers(margin, mass))

    @cached_property
    def _limit(self) -> str:
        """What this server calls the length of an answer, found by asking."""
        return self._calls.server.run(self._find_limit)

    async def _find_limit(self, connection: Connection) -> str:
        from qaemb.answers.engines.server.client import Refused

        older, newer = _LIMITS
        question = [{"role": "user", "content": "Yes or no?"}]
        try:
            await self._ask(connection, older, question, first=True)
        except Refused as error:
            if newer not in str(error):
                raise
            await self._ask(connection, newer, question, first=True)
            return newer
        return older

    def _places(self, n_texts: int, n_questions: int) -> Iterator[tuple[int, int]]:
        """All cells; those that begin alike follow each other, for the server's prefix cache."""
        if self.prompt.order == "text_first":
            return ((row, column) for row in range(n_texts) for column in range(n_questions))
        return ((row, column) for column in range(n_questions) for row in range(n_texts))

    def _messages(self, text: str, question: str) -> Messages:
        system = [{"role": "system", "content": self.prompt.system}] if self.prompt.system else []
        turns = [
            {"role": role, "content": content}
            for example in self.prompt.few_shot
            for role, content in (
                ("user", _user(self.prompt, example.text, example.question)),
                ("assistant", example.answer),
            )
        ]
        return [*system, *turns, {"role": "user", "content": _user(self.prompt, text, question)}]

    async def _ask(self, connection: Connection, limit: str, messages: Messages, first: bool = False) -> Cell:
        top = self._calls.settings.top_logprobs
        body: dict[str, Any] = {
            "model": self._calls.settings.model,
            "messages": messages,
            limit: 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": top,
        }
        if self.prompt.enable_thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": self.prompt.enable_thinking}
        note = f"{top} log-probs were asked for (`server.top_logprobs`)"
        return await connection.post("chat/completions", body, partial(self._read, first), note)

    def _read(self, first: bool, content: bytes) -> Cell:
        """Return the cell of a reply. One without a token is no answer; ValueError if the first is so already."""
        positions = _Reply.model_validate_json(content).choices[0].logprobs.content
        if first and not positions:
            raise ValueError("choices.0.logprobs.content is empty")
        tokens = positions[0].top_logprobs if positions else []
        return read_cell([(token.token, token.logprob) for token in tokens], self._labels)


def _user(prompt: Prompt, text: str, question: str) -> str:
    """The user message; each piece has one place, so that places written in a text or question stay as they are."""
    first, second = prompt.pieces
    if prompt.order == "text_first":
        return first.replace("{text}", text) + second.replace("{question}", question)
    return first.replace("{question}", question) + second.replace("{text}", text)
