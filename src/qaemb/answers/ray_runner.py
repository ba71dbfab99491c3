"""Answering a plan on a Ray cluster: Ray Data hands out the blocks, workers publish them into the shared store.

Each worker has an answerer of its own. Only counts and messages travel back. Ray starts a worker anew that died, or
whose node did, and gives it its block again; a block that the store has is passed over. What the store lacks after that
is handed out once more. The store is the only memory of what is done, so a driver that dies loses nothing either.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, cast

from tqdm import tqdm

from qaemb import errors
from qaemb.answers.answerer import Answerer
from qaemb.answers.blocks import block_name
from qaemb.answers.plan import Block, Plan, Wanted
from qaemb.answers.run import Present, RunStats, answer_block, from_anywhere
from qaemb.answers.store import Store
from qaemb.answers.stored import Stored
from qaemb.errors import BadInput, BadParameter, QaembError, StoreError, install_command
from qaemb.settings import RaySettings

MAX_ATTEMPTS = 3  # at a block whose worker dies each time, in one round

OpenAnswerer = Callable[[str], Answerer]
"""Returns the answerer of a name, on any machine of the cluster: it is pickled."""


@dataclass(frozen=True)
class _RayTask:
    """What every worker gets once: who answers (and the key that it must have there), what, and where it is kept.

    Relative paths in the answerer's settings begin in `folder`, on nodes that have it.
    """

    open_answerer: OpenAnswerer
    name: str
    root: Path | str
    key: str
    grid: Wanted
    blocks: tuple[Block, ...]
    folder: Path


class _Done(TypedDict):
    """What a worker says of a block: cells and tokens that it took, or the class and message of a qaemb error."""

    block: int
    cells: int
    tokens: int
    error: str
    message: str


class _Attempts:
    """Counts how often each block was begun: an actor of its own, as those that begin may die of it."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self._stopped = False

    def begin(self, block: int) -> bool:
        """Return whether a block may be begun: not too often yet, and nothing went wrong elsewhere."""
        self._begun[block] += 1
        return not self._stopped and self._begun[block] <= MAX_ATTEMPTS

    def stop(self) -> None:
        """Let no further block begin."""
        self._stopped = True


class _BlockWorker:
    """Answers and publishes blocks of a task, a reference into Ray's object store; `attempts`: an actor `_Attempts`."""

    def __init__(self, task: Any, attempts: Any) -> None:
        import ray

        self._begin = lambda number: ray.get(attempts.begin.remote(number))
        self._task: _RayTask = ray.get(task)
        if self._task.folder.is_dir():
            os.chdir(self._task.folder)
        self._store = Store(self._task.root, self._task.key)
        self._present = Present(self._store)

    def __call__(self, row: dict[str, Any]) -> _Done:
        """Return what was done for the block `row["block"]`; a qaemb error is returned, any other raised."""
        number = int(row["block"])
        try:
            cells, tokens = self._publish(number)
        except QaembError as error:
            message = f"{error} (on node {platform.node()})"
            return _Done(block=number, cells=0, tokens=0, error=type(error).__name__, message=message)
        return _Done(block=number, cells=cells, tokens=tokens, error="", message="")

    @cached_property
    def _answerer(self) -> Answerer:
        answerer = self._task.open_answerer(self._task.name)
        if answerer.key != self._task.key:
            raise BadInput(
                f"answerer `{self._task.name}` has key {answerer.key} here, not {self._task.key}: install the same "
                "qaemb and the same model on every node"
            )
        return answerer

    def _publish(self, number: int) -> tuple[int, int]:
        grid, block = self._task.grid, self._task.blocks[number]
        if block_name(*grid.ids(block)) in self._present.now():
            return 0, 0
        if not self._begin(number):  # type: ignore[no-untyped-call]
            return 0, 0  # the driver finds that it is lacking
        return block.n_cells, answer_block(self._answerer, self._store, grid, block)


_ROUNDS = 2  # in which what the store still lacks is handed out
_REACH_SECONDS = 10.0
_MAX_TASKS = 10_000  # of one round; more blocks than that share tasks


class RayRunner:
    """Runs plans on a Ray cluster; a context manager, as the cluster is left (or stopped, if started here) at its end.

    The cluster is entered with the first plan that has a block. A session of Ray that is there already is used and
    left alone.
    """

    def __init__(self, open_answerer: OpenAnswerer, settings: RaySettings) -> None:
        self._open_answerer, self._settings = open_answerer, settings
        self._stack = ExitStack()

    def __enter__(self) -> RayRunner:
        """Return this runner."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster."""
        self._stack.close()

    def __call__(self, stored: Stored, grid: Wanted, plan: Plan, label: str) -> RunStats:
        """Answer and publish the plan's blocks, and return what the workers reported; `label` names the progress bar.

        Cells that a worker published just before it died are in the store, but in nobody's report. BadParameter if
        there is no Ray or no such cluster, a worker's own qaemb error with the node's name, StoreError if blocks are
        missing in the end.
        """
        start = time.perf_counter()
        if not plan.blocks:
            return RunStats(0, 0, 0.0)
        self._connect()
        stored.store.describe(stored.answerer.spec)
        root = stored.root if isinstance(stored.root, str) else stored.root.absolute()
        blocks = tuple(from_anywhere(plan.blocks))
        task = _RayTask(self._open_answerer, stored.name, root, stored.answerer.key, grid, blocks, Path.cwd())
        with tqdm(total=plan.n_missing, desc=f"answers {label}", unit="cell") as bar:
            cells, tokens = self._run(task, stored.store, bar)
        return RunStats(cells, tokens, time.perf_counter() - start)

    def _connect(self) -> None:
        if not _import_ray().is_initialized():
            self._stack.enter_context(_session(self._settings))

    def _run(self, task: _RayTask, store: Store, bar: tqdm[Any]) -> tuple[int, int]:
        """Hand out what the store lacks until it lacks nothing, and return cells and tokens as reported."""
        cells, tokens, shown = 0, 0, set()
        failed: _Done | None = None
        for _ in range(_ROUNDS):
            if not (numbers := _missing_blocks(task, store)):
                break
            for done in _answered(task, numbers, self._settings):
                failed = failed or (done if done["error"] else None)
                cells, tokens = cells + done["cells"], tokens + done["tokens"]
                bar.update(0 if done["block"] in shown else task.blocks[done["block"]].n_cells)
                shown.add(done["block"])
            if failed:
                raise getattr(errors, failed["error"])(failed["message"])
        if rest := _missing_blocks(task, store):
            raise StoreError(
                f"{len(rest)} of {len(task.blocks)} blocks are not in {store.address} after {_ROUNDS} rounds: the "
                "workers died of them or did not start (too little memory? see the lines above), or publish where this "
                "machine does not look (answers.store must be a folder that all nodes share, or an object store); what "
                "was published stays, run the same command to go on"
            )
        return cells, tokens


def _import_ray() -> Any:
    """Return the module `ray`; BadParameter says how to install it."""
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # no cluster but the one that is asked for
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BadParameter(f"--runner ray needs Ray ({error}): {install_command('ray')}") from error
    return ray


@contextmanager
def _session(settings: RaySettings) -> Iterator[None]:
    """Enter the cluster, or start one on this machine, and leave or stop it."""
    ray = _import_ray()
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)  # what goes wrong is told below, in a line
    unset = [name for name in settings.env if name not in os.environ]
    if unset:
        raise BadParameter(f"answers.ray.env: {', '.join(unset)} is not set on this machine")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else a driver prints what its core process notes
    options: dict[str, Any] = {} if settings.address else {"include_dashboard": False}
    if settings.env:
        options["runtime_env"] = {"env_vars": {name: os.environ[name] for name in settings.env}}
    try:
        _reach(settings.address)
        ray.init(address=settings.address or "local", log_to_driver=False, logging_level="ERROR", **options)
    except (OSError, RuntimeError, ValueError) as error:
        where = settings.address or "a new one on this machine"
        raise BadParameter(f"answers.ray.address: no Ray cluster at {where}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """Raise OSError if nobody listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()


def _missing_blocks(task: _RayTask, store: Store) -> list[int]:
    """Return the numbers of the blocks that the store lacks."""
    present = store.present()
    return [n for n, block in enumerate(task.blocks) if block_name(*task.grid.ids(block)) not in present]


def _answered(task: _RayTask, numbers: Sequence[int], settings: RaySettings) -> Iterator[_Done]:
    """Yield what workers report of these blocks; ends early where Ray gives up."""
    ray = _import_ray()
    _say_if_no_node_fits(ray, settings)
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # else workers with one block never multiply
    attempts = ray.remote(_Attempts).options(num_cpus=0, scheduling_strategy=_here(ray)).remote()
    with ray.data.DataContext.current(context):
        rows = ray.data.from_items(
            [{"block": number} for number in numbers], override_num_blocks=min(len(numbers), _MAX_TASKS)
        )
        answered = rows.map(
            _BlockWorker,
            fn_constructor_args=(ray.put(task), attempts),
            # One block at a worker: none waits behind another at one that is slow or dead.
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=settings.workers, max_tasks_in_flight_per_actor=1),
            num_cpus=settings.cpus_per_worker,
            num_gpus=settings.gpus_per_worker,
            # No limit: Ray uses up retries while a lost node still counts as alive. `_Attempts` has the limit.
            ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": -1},
        )
        try:
            # To the end also after an error: what is left of an execution would go on, and start a Ray of its own.
            for row in answered.iter_rows():
                if row["error"]:
                    ray.get(attempts.stop.remote())
                yield cast(_Done, row)
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.OutOfMemoryError) as error:
            print(f"qaemb: workers were lost: {_last_line(error)}", file=sys.stderr)


def _here(ray: Any) -> Any:
    """Return the strategy that places an actor on this machine's node: it ends with the driver, not before."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _last_line(error: Exception) -> str:
    """Return what remains of an error of Ray's without its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _say_if_no_node_fits(ray: Any, settings: RaySettings) -> None:
    """Say so where no node has room for a worker; BadParameter if none can join, as the cluster is this machine."""
    resources = {"CPU": settings.cpus_per_worker, "GPU": settings.gpus_per_worker}
    for node in ray.nodes():
        if node["Alive"] and all(node["Resources"].get(kind, 0) >= number for kind, number in resources.items()):
            return
    room = (
        f"a worker takes {resources['CPU']:g} CPUs and {resources['GPU']:g} GPUs (answers.ray), and no node has these"
    )
    if settings.address is None:
        raise BadParameter(f"{room}; ask for less")
    print(f"qaemb: {room} yet; waiting for one", file=sys.stderr)
