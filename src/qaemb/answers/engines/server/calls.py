"""What both APIs of engine `server` share: the checks of its settings, the server, and what an error says is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import HttpUrl, ValidationError

from qaemb.answers.engines.server.logprobs import Tally
from qaemb.errors import BadParameter, QaembError, install_command
from qaemb.settings import AnswererSettings, ServerSettings

if TYPE_CHECKING:
    from qaemb.answers.engines.server.client import Server


class ServerCalls:
    """An answerer's side of its server. Nothing is sent, and no HTTP library loaded, before `server` is used."""

    def __init__(self, settings: AnswererSettings) -> None:
        if settings.server is None:
            raise BadParameter("engine `server` needs a section `server`")
        if settings.dtype != "float32":
            raise BadParameter("engine `server`: the server chooses the dtype; remove `dtype` (and name it in `label`)")
        _check_url(settings.server)
        self.settings = settings.server
        self.tally = Tally()

    @cached_property
    def server(self) -> Server:
        """The server; QaembError with the command if a library is missing."""
        try:
            from qaemb.answers.engines.server.client import Server
        except ModuleNotFoundError as error:
            raise QaembError(f"engine `server` needs {error.name}; run {install_command('server')}") from error
        return Server(self.settings, self.tally)

    def usd(self, tokens: int) -> float | None:
        """The price of prompt tokens, if the settings name one."""
        price = self.settings.usd_per_million_tokens
        return None if price is None else price * tokens / 1e6

    @contextmanager
    def losing(self, n_cells: int) -> Iterator[None]:
        """Add to an error that the `n_cells` of this call are lost, and how to go on."""
        try:
            yield
        except QaembError as error:
            raise type(error)(
                f"{error}; the {n_cells:,} cells of this call are lost, what was published before is in the store: "
                "run again to go on"
            ) from error


def _check_url(settings: ServerSettings) -> None:
    try:
        url = HttpUrl(settings.url)
    except ValidationError as error:
        raise BadParameter(f"server.url: `{settings.url}`: {error.errors()[0]['msg']}") from error
    if url.username or url.query or url.fragment:
        raise BadParameter("server.url: give http(s)://HOST[:PORT]/v1 alone; a key belongs into `server.api_key_env`")
