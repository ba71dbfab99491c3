"""Students that are language models: trained to answer a teacher's questions, and then models like any other."""

from qaemb.distill.lm.adapter import AdapterInfo, merge_adapter, read_adapter_info
from qaemb.distill.lm.settings import LmTraining
from qaemb.distill.lm.training import LmResult, train_lm

__all__ = ["AdapterInfo", "LmResult", "LmTraining", "merge_adapter", "read_adapter_info", "train_lm"]
