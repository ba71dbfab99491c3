"""Speed of a student against the LLM of the default job, in one run: cells and texts per second, loading apart."""

from __future__ import annotations

import time
from typing import Any

from qaemb.answers import Answerer, build_answerer
from qaemb.questions import load_set
from qaemb.settings import AnswererSettings, Settings
from qaemb.stages.inputs import model
from qaemb.workspace import Workspace

LLM_TEXTS, LLM_QUESTIONS, STUDENT_TEXTS = 16, 64, 2000


def speeds(settings: Settings, workspace: Workspace, texts: list[str]) -> dict[str, Any]:
    """Return cells and texts per second of SmolLM2-135M (engine `shared`) and of the student that comes with qaemb.

    Both answer whole texts of one kind, with all that is between text and margin. The bank's first questions: the LLM
    gets enough of them to share what prompts have in common.
    """
    model(settings, workspace, "smollm2")
    questions = [question.text for question in load_set(workspace.questions, "full")]
    llm = build_answerer(
        "llm", AnswererSettings(engine="shared", model="smollm2", prompt="text_first"), workspace.model("smollm2")
    )
    student = build_answerer(
        "student",
        AnswererSettings(engine="student", model="minilm", student="stories_minilm"),
        workspace.model("minilm"),
    )
    step = max(1, len(texts) // STUDENT_TEXTS)
    found = {
        "llm": _measure(llm, texts[:: max(1, len(texts) // LLM_TEXTS)][:LLM_TEXTS], questions[:LLM_QUESTIONS]),
        "student": _measure(student, texts[::step][:STUDENT_TEXTS], questions),
        "student_same_questions": _measure(student, texts[::step][:STUDENT_TEXTS], questions[:LLM_QUESTIONS]),
    }
    ratio = {name: round(own["cells_per_s"] / found["llm"]["cells_per_s"], 1) for name, own in found.items()}
    return found | {"student_over_llm": ratio}


def _measure(answerer: Answerer, texts: list[str], questions: list[str]) -> dict[str, float]:
    answerer.answer(texts[:1], questions)  # loads the model, embeds the questions
    start = time.perf_counter()
    answerer.answer(texts, questions)
    seconds = time.perf_counter() - start
    return {
        "texts": len(texts),
        "questions": len(questions),
        "seconds": round(seconds, 2),
        "texts_per_s": round(len(texts) / seconds, 2),
        "cells_per_s": round(len(texts) * len(questions) / seconds, 1),
    }
