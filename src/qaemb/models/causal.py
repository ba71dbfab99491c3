"""Loading a causal model with Hugging Face transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaemb.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_causal_lm(folder: Path, dtype: str) -> PreTrainedModel:
    """Return the model in evaluation mode, in `dtype`, on the GPU if there is one; BadInput if it can't be loaded.

    The last layer, from hidden state to logits, is computed in float32 whatever the dtype: logits near 16 are
    1/8 apart in bfloat16, as coarse as the margins are. Only safetensors are read and no code of the model is run.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # the bar for cells stands alone
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True)
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise BadInput(f"the model in {folder} can't be loaded: {error}; run `qaemb model` again") from error
    if dtype != "float32":
        model.set_output_embeddings(_float32_head(model.get_output_embeddings()))
    return model.eval().to(device)


def _float32_head(head: Any) -> Any:
    """Return a linear layer with a float32 copy of the head's weights that takes hidden states of any dtype."""
    import torch

    copy = torch.nn.Linear(head.in_features, head.out_features, bias=head.bias is not None, dtype=torch.float32)
    with torch.no_grad():
        copy.weight.copy_(head.weight)
        if head.bias is not None:
            copy.bias.copy_(head.bias)
    copy.register_forward_pre_hook(lambda layer, inputs: (inputs[0].float(),))
    return copy
