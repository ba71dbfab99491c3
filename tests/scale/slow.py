"""The grid that the clusters of the tests answer, by answerers that may take their time or kill their process."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from qaemb.answers import Answerer, Answers, open_answerer
from qaemb.answers.plan import Wanted
from qaemb.identity import text_id
from qaemb.settings import AnswererSettings

N_TEXTS, BLOCK = 96, 4
QUESTIONS = ["Does the text mention food?", "Is an animal named?", "Does someone move?"]
SPEC = {
    "llm": AnswererSettings(engine="reference", model="llm", prompt="text_first", threads=1),
    "student": AnswererSettings(engine="student", model="encoder", threads=1),
    "both": AnswererSettings(engine="ensemble", members=["llm", "student"]),
}


def grid() -> Wanted:
    texts = [f"I ate {number} apples in the kitchen" for number in range(N_TEXTS)]
    return Wanted([text_id(t) for t in texts], texts, [text_id(q) for q in QUESTIONS], QUESTIONS)


@dataclass
class SlowAnswerer:
    """Another answerer, `seconds` later for each block; a process that is asked the text `poison` kills itself."""

    own: Answerer
    seen: Path
    seconds: float
    poison: str | None = None

    @property
    def engine_name(self) -> str:
        return self.own.engine_name

    @property
    def spec(self) -> dict:
        return self.own.spec

    @property
    def key(self) -> str:
        return self.own.key

    def cost(self, texts, questions):
        return self.own.cost(texts, questions)

    def answer(self, texts, questions, progress=None) -> Answers:
        (self.seen / str(os.getpid())).touch()
        if self.poison in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return self.own.answer(texts, questions, progress)


@dataclass(frozen=True)
class Opener:
    """Opens an answerer on the models in a folder, on any machine; a slow one leaves its process id in `seen`."""

    models: Path
    seen: Path | None = None
    seconds: float = 0.15
    poison: str | None = None

    def __call__(self, name: str) -> Answerer:
        own = open_answerer(name, SPEC, self.models.__truediv__)
        return SlowAnswerer(own, self.seen, self.seconds, self.poison) if self.seen else own
