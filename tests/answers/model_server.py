"""An OpenAI-compatible server for tests: real answers of a model folder, and faults that can be switched on.

It reads `/v1/completions` and `/v1/chat/completions` and answers with the log-probabilities of the model, run by
transformers on the token ids that it received. What it can do (given tokens, ids, lists of prompts) is switchable too.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from qaemb.answers import Answerer, build_answerer
from qaemb.errors import QaembError
from qaemb.models.inputs import cpu_threads
from qaemb.settings import AnswererSettings

from .conftest import QUESTIONS, TEXTS, spec_for

KEY = "sk-secret-of-the-tests"


@dataclass(frozen=True)
class Fault:
    """Instead of an answer: `status`, `headers` and `body`; status 0 drops the connection."""

    status: int = 0
    body: str = '{"error": {"message": "planted"}}'
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Abilities:
    """What the server does with fields that not every server knows. `strict`: unknown ones are an error."""

    batched: bool = True
    exact: bool = True
    ids: bool = True
    logprobs: bool = True
    strict: bool = False
    max_tokens: str = "max_tokens"
    max_logprobs: int = 500


class Refusal(Exception):
    """A request that the server does not take."""


class Model:
    """A model folder, run by transformers; what was computed once is kept."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self._known: dict[tuple[int, ...], list[float]] = {}
        self._lock = threading.Lock()

    def logprobs(self, ids: list[int]) -> list[float]:
        """Log-probabilities of all tokens after a prompt."""
        import torch

        with self._lock, torch.inference_mode(), cpu_threads(1):
            if tuple(ids) not in self._known:
                logits = self._model(input_ids=torch.tensor([ids])).logits[0, -1]
                self._known[tuple(ids)] = logits.log_softmax(-1).tolist()
            return self._known[tuple(ids)]


@lru_cache
def loaded(folder: Path) -> Model:
    """The model of a folder, shared by all servers of a test session."""
    return Model(folder)


class ModelServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1 and a free port, or on `port`."""

    daemon_threads = True
    request_queue_size = 128  # more than the concurrency of any test

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.folder = folder
        loaded(folder)  # here, as its requests come in threads
        self.can = Abilities()
        self.faults: list[Fault] = []
        self.before: Callable[[dict[str, Any]], None] = lambda body: None
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    def handle_error(self, *args: object) -> None:
        """A client that hangs up is no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*args)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def tokenizer(self) -> Any:
        return loaded(self.folder).tokenizer

    def top(self, ids: list[int], k: int) -> list[tuple[int, float]]:
        """The k most likely tokens after a prompt, most likely first."""
        if k > self.can.max_logprobs:
            raise Refusal(f"at most {self.can.max_logprobs} logprobs")
        return sorted(enumerate(loaded(self.folder).logprobs(ids)), key=lambda pair: -pair[1])[:k]

    def completions(self, body: dict[str, Any]) -> dict[str, Any]:
        prompts = body["prompt"]
        if not isinstance(prompts[0], list):
            prompts = [prompts]
        elif not self.can.batched:
            raise Refusal("prompt must be a list of integers")
        for name, known in (("logprob_token_ids", self.can.exact), ("return_tokens_as_token_ids", self.can.ids)):
            if self.can.strict and name in body and not known:
                raise Refusal(f"unrecognized request argument: {name}")
        choices = [{"index": n, "logprobs": self.completion(ids, body)} for n, ids in enumerate(prompts)]
        return {"choices": choices[::-1]}  # in no order: the index counts

    def completion(self, ids: list[int], body: dict[str, Any]) -> dict[str, Any] | None:
        found = self.top(ids, body["logprobs"])
        if self.can.exact and "logprob_token_ids" in body:
            whole = loaded(self.folder).logprobs(ids)
            found = [found[0], *((token, whole[token]) for token in body["logprob_token_ids"])]
        as_ids = self.can.ids and body.get("return_tokens_as_token_ids")
        written = {f"token_id:{i}" if as_ids else self.tokenizer.decode([i]): value for i, value in found}
        return {"top_logprobs": [written]} if self.can.logprobs else None

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.can.max_tokens not in body:
            raise Refusal(f"Unsupported parameter; use '{self.can.max_tokens}' instead")
        ids = self.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)["input_ids"]
        top = [{"token": self.tokenizer.decode([i]), "logprob": v} for i, v in self.top(ids, body["top_logprobs"])]
        content = {"content": [{"token": top[0]["token"], "top_logprobs": top}]}
        return {"choices": [{"index": 0, "logprobs": content if self.can.logprobs else None}]}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.reply(200, json.dumps({"data": [{"id": "tiny"}, {"id": "other"}]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.counted(body):
            self.server.before(body)
            fault = self.server.faults.pop(0) if self.server.faults else None
            if fault is None:
                self.answer(body)
            elif fault.status:
                self.reply(fault.status, fault.body, fault.headers)
            else:
                self.close_connection = True

    @contextmanager
    def counted(self, body: dict[str, Any]) -> Iterator[None]:
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.keys.add(self.headers.get("authorization"))
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            yield
        finally:
            with server.lock:
                server.in_flight -= 1

    def answer(self, body: dict[str, Any]) -> None:
        if self.headers.get("authorization") not in (None, f"Bearer {KEY}"):
            return self.reply(401, json.dumps({"error": f"wrong key {self.headers['authorization']}"}))
        if body["model"] != "tiny":
            return self.reply(404, json.dumps({"error": {"message": f"no model {body['model']}"}}))
        function = {"/v1/completions": self.server.completions, "/v1/chat/completions": self.server.chat}[self.path]
        try:
            return self.reply(200, json.dumps(function(body)))
        except Refusal as error:
            return self.reply(400, json.dumps({"error": {"message": str(error)}}))

    def reply(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[ModelServer]:
    """A server in a thread of its own, closed at the end."""
    server = ModelServer(folder, port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def spec_of(server: ModelServer, prompt: str | None = "text_first", **changes: object) -> AnswererSettings:
    """Settings of an answerer that asks the server; `changes` are of its section `server`, or `batch_tokens`."""
    batch_tokens = changes.pop("batch_tokens", 256)
    section = {"url": server.url, "model": "tiny", **changes}
    local = None if section.get("api") == "chat" else "tiny"
    return spec_for("server", prompt=prompt, model=local, server=section, batch_tokens=batch_tokens)


def answerer_of(server: ModelServer, folder: Path, **changes: object) -> Answerer:
    """An answerer `mine` that sends one prompt a request."""
    return build_answerer("mine", spec_of(server, batch_tokens=64, **{"max_retries": 3, **changes}), folder)


def failure(answerer: Answerer, kind: type[QaembError] = QaembError) -> str:
    """The message of the error that answering raises."""
    with pytest.raises(kind) as error:
        answerer.answer(TEXTS, QUESTIONS)
    return str(error.value)
