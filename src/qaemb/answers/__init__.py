"""The answers room: what answers, with which prompt, and the store in which answers are kept."""

from __future__ import annotations

from pathlib import Path

from qaemb.answers.answerer import Answerer, Answers, Cost, Progress
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import AnswererSettings

__all__ = ["Answerer", "Answers", "Cost", "Progress", "build_answerer"]


def build_answerer(name: str, spec: AnswererSettings, model_folder: Path) -> Answerer:
    """Return the answerer that `answers.spec.NAME` describes, on the model in `model_folder`.

    Nothing heavy is loaded before its key is asked for or it answers. BadParameter or BadInput name the answerer.
    """
    from qaemb.answers.engines import ENGINES

    try:
        return ENGINES[spec.engine](spec, model_folder)
    except BadParameter as error:
        raise BadParameter(f"answers.spec.{name}: {error}") from error
    except BadInput as error:
        raise BadInput(f"answers.spec.{name}: {error}") from error
