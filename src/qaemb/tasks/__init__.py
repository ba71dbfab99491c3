"""NLP tasks on answers, beside baselines: what readable features are good for without a brain in sight."""

from qaemb.tasks.registry import MAIN_METRIC, evaluate_task, read_task
from qaemb.tasks.task import Features, MethodResult, Task, TaskResult

__all__ = ["MAIN_METRIC", "Features", "MethodResult", "Task", "TaskResult", "evaluate_task", "read_task"]
