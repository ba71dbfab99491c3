"""HTTP to an OpenAI-compatible server: requests in flight are bounded, passing faults are retried, others explained.

Imported when a server is first asked: it needs httpx2, anyio and tenacity (extra `server`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import anyio
import httpx2
from anyio.from_thread import start_blocking_portal
from pydantic import ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from qaemb.answers.engines.server.logprobs import Tally
from qaemb.errors import BadParameter, QaembError
from qaemb.settings import ServerSettings

T = TypeVar("T")
J = TypeVar("J")

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_LONGEST_WAIT_S = 600.0  # asked for by the server; a longer one (a daily quota) ends the run
_TRANSIENT = {408, 409, 429}
_sleep = anyio.sleep


class Refused(BadParameter):
    """The server does not take what this request asks for (400, 422); asked in another way, it may answer."""


class BadReply(QaembError):
    """The server answered, but not with what was asked for."""


class _Transient(Exception):
    """A fault that may pass: worth another try, after `wait_s` if the server says so."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Server:
    """One server. Requests and retries are counted in `tally`."""

    def __init__(self, settings: ServerSettings, tally: Tally) -> None:
        self.settings = settings
        self.tally = tally

    def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Return what `work` returns; Ctrl-C cancels the requests in flight.

        The event loop has a thread of its own, so that this works where one is running already, as in a notebook.
        BadParameter, before any request, if the variable for the API key is not set.
        """
        key = _api_key(self.settings)

        async def connected() -> T:
            limits = httpx2.Limits(max_connections=self.settings.concurrency)
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=None) as client:
                return await work(Connection(self, client, key))

        with start_blocking_portal() as portal:
            return portal.call(connected)


class Connection:
    """Requests to one server while it is open."""

    def __init__(self, server: Server, client: httpx2.AsyncClient, key: str | None) -> None:
        self._tally = server.tally
        self._settings = server.settings
        self._client = client
        self._key = key

    async def each(self, jobs: Iterable[J], do: Callable[[J], Awaitable[None]]) -> None:
        """Do all jobs in their order, at most `concurrency` at a time; the first error cancels the others."""
        queue = iter(jobs)

        async def worker() -> None:
            for job in queue:
                await do(job)

        try:
            async with anyio.create_task_group() as group:
                for _ in range(self._settings.concurrency):
                    group.start_soon(worker)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def post(self, path: str, body: dict[str, Any], read: Callable[[bytes], T], note: str = "") -> T:
        """Send a request, again where a fault may pass, and return `read(reply)`.

        BadReply where `read` raises ValueError; Refused where the server does not take the request (`note` is added);
        BadParameter for a wrong key, model or address; QaembError where the server can't be reached or fails.
        """
        url = self._url(path)
        retrying = AsyncRetrying(
            stop=stop_after_attempt(1 + self._settings.max_retries),
            wait=_pause,
            retry=retry_if_exception_type(_Transient),
            sleep=_sleep,
            before_sleep=self._count_retry,
            reraise=True,
        )
        try:
            response: httpx2.Response = await retrying(self._attempt, url, body)
        except _Transient as error:
            tries = 1 + self._settings.max_retries
            raise QaembError(
                f"{url} failed in {tries} of {tries} tries, the last time with: {error}; look at the server, or lower "
                "`server.concurrency`"
            ) from error
        if not response.is_success:
            raise await self._refusal(url, response, note)
        try:
            return read(response.content)
        except ValueError as error:
            start = self._clean(response.text)[:80]
            raise BadReply(
                f"{url} did not answer with log-probabilities: {_describe(error)}; the reply starts `{start}`; qaemb "
                "needs a server and a model that give them"
            ) from error

    async def _attempt(self, url: str, body: dict[str, Any]) -> httpx2.Response:
        self._tally.requests += 1
        try:
            with anyio.fail_after(self._settings.timeout_s):
                response = await self._client.post(url, json=body)
        except TimeoutError as error:
            raise _Transient(f"no answer in {self._settings.timeout_s:g} s (`server.timeout_s`)") from error
        except httpx2.TransportError as error:
            raise _Transient(f"{type(error).__name__}: {error}") from error
        except httpx2.HTTPError as error:
            raise BadReply(f"{url} answered something that is not HTTP as it should be: {error}") from error
        if response.status_code in _TRANSIENT or response.status_code >= 500:
            wait_s = _retry_after(response)
            reason = f"{response.status_code} {self._message(response)}"
            if wait_s is not None and wait_s > _LONGEST_WAIT_S:
                raise QaembError(f"{url} asks for a pause of {wait_s:,.0f} s ({reason}); run again after it")
            raise _Transient(reason, wait_s)
        return response

    def _count_retry(self, state: RetryCallState) -> None:
        self._tally.retries += 1

    async def _refusal(self, url: str, response: httpx2.Response, note: str) -> QaembError:
        """Return the error that says what to change."""
        status = response.status_code
        if 300 <= status < 400:
            target = self._clean(response.headers.get("location", "nowhere"))
            return BadParameter(f"{url} redirects to {target}, which is not followed; set `server.url` to the last one")
        if status in (401, 403):
            variable = self._settings.api_key_env
            key = f"the key in environment variable {variable} is wrong" if variable else "set `server.api_key_env`"
            return BadParameter(f"{url} does not let you in ({status}): {key}")
        said = f"{url} answered {status}: {self._message(response)}"
        names = await self._model_names() if status in (400, 404) else []
        if names and self._settings.model not in names:
            return BadParameter(f"{said}; `server.model` must be one that the server has: {', '.join(names)}")
        if status in (400, 422):
            return Refused(f"{said}; {note}" if note else said)
        return BadParameter(f"{said}; check `server.url` (with /v1) and `server.model`")

    async def _model_names(self) -> list[str]:
        """The names of the models that the server has; empty if it does not tell."""
        try:
            with anyio.fail_after(self._settings.timeout_s):
                response = await self._client.get(self._url("models"))
            return [str(entry["id"]) for entry in response.json()["data"]]
        except (httpx2.HTTPError, TimeoutError, ValueError, KeyError, TypeError):
            return []

    def _url(self, path: str) -> str:
        return f"{self._settings.url.rstrip('/')}/{path}"

    def _message(self, response: httpx2.Response) -> str:
        """What the server says, in short, without the key."""
        try:
            body = response.json()
            error = body.get("error", body)
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        except (ValueError, AttributeError):
            text = response.text
        return self._clean(text)[:300] or response.reason_phrase

    def _clean(self, text: str) -> str:
        """One line, without the key."""
        line = " ".join(text.split())
        return line.replace(self._key, "***") if self._key else line


def _api_key(settings: ServerSettings) -> str | None:
    """The key; BadParameter names the variable where it is not set or can't be a key. The key is never printed."""
    variable = settings.api_key_env
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise BadParameter(f"environment variable {variable} (`server.api_key_env`) is not set; put the key into it")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadParameter(f"environment variable {variable} (`server.api_key_env`) does not hold an API key")
    return key


def _pause(state: RetryCallState) -> float:
    """Seconds to the next try: what the server asks for, else twice as long each time, half of it at random."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Transient) and error.wait_s is not None:
        return error.wait_s
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (state.attempt_number - 1))
    return longest * random.uniform(0.5, 1)


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds in the header Retry-After, which is a number or a date; None where it is neither."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _describe(error: ValueError) -> str:
    """What is wrong with a reply; of several things the first."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
