"""Engine `server`: any OpenAI-compatible server, by `/completions` (here) or `/chat/completions` (`chat.py`).

`completions` sends the token ids of the local tokenizer, the same that every other engine gets, so that nothing in a
text can end the user's turn. vLLM returns log-probabilities of given tokens (`logprob_token_ids`), which makes margin
and mass exact; others return those of the k most likely ones. The settings say which, as it changes the answers; what
else differs between servers is found out by the first requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from qaemb.answers.answerer import Answerer, engine_version
from qaemb.answers.engines.causal import CausalAnswerer, Grid
from qaemb.answers.engines.server.calls import ServerCalls
from qaemb.answers.engines.server.chat import ChatAnswerer
from qaemb.answers.engines.server.logprobs import (
    Cell,
    LabelTokens,
    LogProb,
    read_cell,
    tokens_by_id,
    tokens_by_word,
)
from qaemb.answers.rendering import Rendered
from qaemb.errors import BadParameter
from qaemb.models.inputs import Progress
from qaemb.settings import ServerAnswererSettings

if TYPE_CHECKING:
    from qaemb.answers.engines.server.client import Connection

_REQUEST_TOKENS = 1024  # in one request, where `batch_tokens` does not say otherwise
Place = tuple[int, int]


def server_answerer(settings: ServerAnswererSettings, folder: Path) -> Answerer:
    """Return the answerer for the server's API."""
    if settings.server.api == "chat":
        return ChatAnswerer(settings, folder)
    return _CompletionsAnswerer(settings, folder)


@dataclass(frozen=True)
class _Form:
    """How a server can be asked: several prompts at a time, for given tokens, with tokens written as ids."""

    batched: bool
    exact: bool
    ids: bool


_FORMS = [
    _Form(batched, exact, ids)
    for batched in (True, False)
    for exact, ids in ((True, True), (False, True), (False, False))
]


class _LogProbs(BaseModel):
    top_logprobs: list[dict[str, LogProb]] = Field(min_length=1)


class _Choice(BaseModel):
    index: int = 0
    logprobs: _LogProbs


class _Reply(BaseModel):
    choices: list[_Choice]


class _CompletionsAnswerer(CausalAnswerer):
    """Sends token ids to `/completions` and reads one token's log-probabilities."""

    def __init__(self, settings: ServerAnswererSettings, folder: Path) -> None:
        super().__init__(settings, folder)
        self._calls = ServerCalls(settings)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What is known of the server, which log-probabilities it is asked for, local model, prompt and labels."""
        server = self._calls.settings
        return {
            "family": "server",
            "api": "completions",
            "model": server.model,
            "label": server.label,
            "logprobs": server.logprobs,
            "top_logprobs": server.top_logprobs if server.logprobs == "top" else None,
            "model_digest": self.info.digest,
            "prompt": self.prompt.content(),
            "labels": {"yes": list(self.labels.yes), "no": list(self.labels.no)},
            "engine_version": engine_version(),
        }

    @property
    def figures(self) -> dict[str, float]:
        """Shares of bounded and unanswered cells, requests and retries, since the answerer was built."""
        return self._calls.tally.figures()

    @cached_property
    def _form(self) -> _Form:
        """How this server can be asked; the best form that it answers to."""
        return self._calls.server.run(self._find_form)

    async def _find_form(self, connection: Connection) -> _Form:
        from qaemb.answers.engines.server.client import BadReply, Refused

        prompt = [self.labels.yes[0]]
        exact = self._calls.settings.logprobs == "exact"
        problem: Exception | None = None
        for form in (form for form in _FORMS if form.exact == exact):
            try:
                await self._ask(connection, form, [prompt, prompt] if form.batched else [prompt])
            except (Refused, BadReply) as error:
                problem = error
            else:
                return form
        hint = "; a server that is not vLLM may answer with `server.logprobs: top`" if exact else ""
        raise BadParameter(f"{problem}{hint}") from problem

    def _grid(self, rendered: Rendered, progress: Progress) -> Grid:
        form = self._form
        shape = (len(rendered.shared), len(rendered.suffixes))
        margin, mass = np.empty(shape, np.float32), np.empty(shape, np.float32)

        async def answer(connection: Connection, places: list[Place]) -> None:
            prompts = [rendered.shared[row] + rendered.suffixes[column] for row, column in places]
            cells = await self._ask(connection, form, prompts)
            for place, cell in zip(places, cells, strict=True):
                margin[place], mass[place] = cell.margin, cell.mass
            self._calls.tally.add(cells)
            progress(len(places))

        async def answer_all(connection: Connection) -> None:
            await connection.each(self._requests(rendered, form), partial(answer, connection))

        with self._calls.losing(margin.size):
            self._calls.server.run(answer_all)
        return margin, mass

    def _tokens(self, rendered: Rendered) -> int:
        """All prompt tokens: whatever a server caches, it bills (or schedules) whole prompts."""
        shared, suffixes = sum(map(len, rendered.shared)), sum(map(len, rendered.suffixes))
        return shared * len(rendered.suffixes) + suffixes * len(rendered.shared)

    def _usd(self, tokens: int) -> float | None:
        return self._calls.usd(tokens)

    def _requests(self, rendered: Rendered, form: _Form) -> Iterator[list[Place]]:
        """Cut the grid into requests; prompts with one prefix follow each other, for the server's prefix cache."""
        budget = (self.settings.batch_tokens or _REQUEST_TOKENS) if form.batched else 0
        places: list[Place] = []
        tokens = 0
        for row, shared in enumerate(rendered.shared):
            for column, suffix in enumerate(rendered.suffixes):
                length = len(shared) + len(suffix)
                if places and tokens + length > budget:
                    yield places
                    places, tokens = [], 0
                places.append((row, column))
                tokens += length
        yield places

    async def _ask(self, connection: Connection, form: _Form, prompts: list[list[int]]) -> list[Cell]:
        """Return the cells of some prompts, in their order."""
        body: dict[str, Any] = {
            "model": self._calls.settings.model,
            "prompt": prompts if form.batched else prompts[0],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1 if form.exact else self._calls.settings.top_logprobs,
        }
        if form.ids:
            body["return_tokens_as_token_ids"] = True
        if form.exact:
            body["logprob_token_ids"] = [*self.labels.yes, *self.labels.no]
        note = f"its longest prompt has {max(map(len, prompts))} tokens"
        if not form.exact:
            note += f", {body['logprobs']} log-probs were asked for (`server.top_logprobs`)"
        return await connection.post("completions", body, partial(self._read, form, len(prompts)), note)

    def _read(self, form: _Form, n_prompts: int, content: bytes) -> list[Cell]:
        """Return the cells of a reply; ValueError says what is missing in it."""
        choices = sorted(_Reply.model_validate_json(content).choices, key=lambda choice: choice.index)
        if [choice.index for choice in choices] != list(range(n_prompts)):
            raise ValueError(f"{n_prompts} prompts got choices {[choice.index for choice in choices]}")
        labels = tokens_by_id(self.labels) if form.ids else tokens_by_word(self.prompt)
        returned = [choice.logprobs.top_logprobs[0] for choice in choices]
        for tokens in returned:
            _check_tokens(tokens, form, labels)
        return [read_cell(tokens.items(), labels) for tokens in returned]


def _check_tokens(tokens: dict[str, float], form: _Form, labels: LabelTokens) -> None:
    """ValueError where a reply has not the form that was asked for."""
    if form.exact and not (labels.yes | labels.no) <= tokens.keys():
        raise ValueError(f"of the labels' tokens it lacks {sorted((labels.yes | labels.no) - tokens.keys())}")
    if form.ids and not all(token.startswith("token_id:") for token in tokens):
        raise ValueError("its tokens are not written as ids")
