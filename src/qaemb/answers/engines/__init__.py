"""The engines by name. Each takes the settings of its kind and a model folder, and keeps the contract of `Answerer`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qaemb.answers.answerer import Answerer
from qaemb.answers.engines.reference import ReferenceAnswerer
from qaemb.answers.engines.server.completions import server_answerer
from qaemb.answers.engines.shared import SharedAnswerer
from qaemb.answers.engines.student import student_answerer
from qaemb.answers.engines.vllm import VllmAnswerer
from qaemb.answers.export import PublishedAnswerer

ENGINES: dict[str, Callable[[Any, Path], Answerer]] = {
    "published": PublishedAnswerer,
    "reference": ReferenceAnswerer,
    "server": server_answerer,
    "shared": SharedAnswerer,
    "student": student_answerer,
    "vllm": VllmAnswerer,
}
