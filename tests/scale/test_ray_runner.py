"""Answering on a real Ray cluster: the same cells as here, whatever is killed; nothing lost, nothing twice."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from qaemb.answers import ray_runner
from qaemb.answers.ray_runner import RayRunner
from qaemb.answers.stored import Stored
from qaemb.errors import BadInput, BadParameter, StoreError
from qaemb.settings import RaySettings

from .conftest import add_node
from .slow import BLOCK, N_TEXTS, QUESTIONS, Opener, grid

N_CELLS, N_BLOCKS = N_TEXTS * len(QUESTIONS), N_TEXTS // BLOCK
WANTED = grid()


@pytest.fixture
def seen(tmp_path) -> Path:
    folder = tmp_path / "seen"
    folder.mkdir()
    return folder


def files(root) -> list[Path]:
    return sorted(path for path in Path(root).rglob("*.parquet") if not path.name.startswith("."))


def run(opener: Opener, root, address: str, name: str = "llm", **settings):
    with RayRunner(opener, RaySettings(address=address, **settings)) as runner:
        stored = Stored(name, opener(name), root, runner)
        return stored, stored.run(WANTED, stored.plan(WANTED, BLOCK), "test")


def run_local(models: Path, root: Path, name: str = "llm") -> Stored:
    stored = Stored(name, Opener(models)(name), root)
    stored.run(WANTED, stored.plan(WANTED, BLOCK), "test")
    return stored


def check_blocks(stored: Stored) -> None:
    """Every block is there once, and sound."""
    assert [problem for _, problem in stored.store.check()] == [None] * (N_BLOCKS + 1)  # and spec.json
    assert stored.store.duplicates() == []


def check_whole(stored: Stored, models: Path, tmp_path: Path) -> None:
    """Every cell is there once, in a sound block, and as a local run answers it."""
    check_blocks(stored)
    assert sum(pq.read_table(path).num_rows for path in files(stored.root)) == N_TEXTS
    here, there = run_local(models, tmp_path / "local").read(WANTED), stored.read(WANTED)
    np.testing.assert_array_equal(there.margin, here.margin)
    np.testing.assert_array_equal(there.mass, here.mass)


def wait_for_blocks(root: Path, number: int) -> None:
    deadline = time.monotonic() + 90
    while len(files(root)) < number:
        assert time.monotonic() < deadline, f"{len(files(root))} blocks after 90 s"
        time.sleep(0.02)


def wait_for_the_end_of_workers(seen: Path) -> None:
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{path.name}").exists() for path in seen.iterdir()):
        assert time.monotonic() < deadline, "workers outlive their driver"
        time.sleep(0.1)


def run_while(action, *args):
    """Run on the cluster in a thread while `action` kills something: nodes are added by the main thread only."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, *args)
        action()
        return running.result(timeout=150)


@pytest.mark.slow
def test_a_ray_run_equals_the_local_run_cell_for_cell(cluster, models, tmp_path):
    there, stats = run(Opener(models), tmp_path / "ray", cluster.address, "both")
    here = run_local(models, tmp_path / "local", "both")
    assert stats.cells == 2 * N_CELLS
    assert stats.tokens > 0
    for one, other in zip((there, *there.members), (here, *here.members), strict=True):
        np.testing.assert_array_equal(one.read(WANTED).margin, other.read(WANTED).margin)
        np.testing.assert_array_equal(one.read(WANTED).mass, other.read(WANTED).mass)
    for one, other in zip(there.members, here.members, strict=True):
        assert one.store.present() == other.store.present()
        assert {block.provenance.engine for block in one.store.blocks()} == {one.answerer.engine_name}
        assert one.store.spec() == other.store.spec()
    assert run(Opener(models), tmp_path / "ray", "nowhere:1", "both")[1].cells == 0  # no cluster is needed for nothing


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing(cluster, models, seen, tmp_path):
    root = tmp_path / "store"

    def kill():
        wait_for_blocks(root, 4)
        os.kill(int(max(seen.iterdir(), key=lambda path: path.stat().st_mtime).name), signal.SIGKILL)

    stored, stats = run_while(kill, Opener(models, seen), root, cluster.address)
    assert len(list(seen.iterdir())) >= 3  # two workers, and one in place of the killed one
    assert N_CELLS - BLOCK * len(QUESTIONS) <= stats.cells <= N_CELLS
    check_whole(stored, models, tmp_path)


@pytest.mark.slow
def test_a_node_removed_and_one_added_lose_nothing(cluster, models, seen, tmp_path):
    root = tmp_path / "store"

    def change():
        wait_for_blocks(root, 4)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        wait_for_blocks(root, len(files(root)) + 2)
        add_node(cluster)

    stored, _ = run_while(change, Opener(models, seen, seconds=0.5), root, cluster.address)
    assert len(list(seen.iterdir())) >= 3
    check_whole(stored, models, tmp_path)


@pytest.mark.slow
def test_a_node_that_is_lost_and_not_replaced_loses_nothing(cluster, models, seen, tmp_path):
    root = tmp_path / "store"

    def remove():
        wait_for_blocks(root, 4)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    try:
        stored, _ = run_while(remove, Opener(models, seen), root, cluster.address)
    finally:
        add_node(cluster)
    check_whole(stored, models, tmp_path)


@pytest.mark.slow
def test_a_driver_killed_and_started_again_does_only_the_rest(cluster, models, seen, tmp_path):
    root = tmp_path / "store"
    script = str(Path(__file__).with_name("driver.py"))
    command = [sys.executable, script, cluster.address, str(models), str(seen), str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_blocks(root, 5)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    wait_for_the_end_of_workers(seen)
    before = len(files(root))
    assert 5 <= before < N_BLOCKS
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr[-3000:]
    assert int(again.stdout) == N_CELLS - before * BLOCK * len(QUESTIONS)
    check_whole(Stored("llm", Opener(models)("llm"), root), models, tmp_path)


@pytest.mark.slow
def test_without_an_address_a_cluster_is_started_here_and_stopped(models, seen, tmp_path, short_folder):
    command = [sys.executable, str(Path(__file__).with_name("driver.py")), "none", str(models), str(seen)]
    env = {**os.environ, "RAY_TMPDIR": str(short_folder)}
    done = subprocess.run([*command, str(tmp_path / "store")], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{N_CELLS}\n"), done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    wait_for_the_end_of_workers(seen)
    check_whole(Stored("llm", Opener(models)("llm"), tmp_path / "store"), models, tmp_path)


@pytest.mark.slow
def test_a_store_in_an_object_store(cluster, models, tmp_path, monkeypatch):
    s3fs, server_module = pytest.importorskip("s3fs"), pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        names = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.get_host_and_port()[1]}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in names.items():  # the nodes run without them
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("answers")
        stored, stats = run(Opener(models), "s3://answers/store", cluster.address, env=list(names))
        assert stats.cells == N_CELLS
        check_blocks(stored)
        here = run_local(models, tmp_path / "local")
        np.testing.assert_array_equal(stored.read(WANTED).margin, here.read(WANTED).margin)
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_an_error_in_a_worker_is_its_message_and_its_node(cluster, models, tmp_path):
    other = tmp_path / "models" / "llm"
    other.mkdir(parents=True)
    stored = Stored("llm", Opener(models)("llm"), tmp_path / "store")
    with RayRunner(Opener(other.parent), RaySettings(address=cluster.address)) as runner:
        with pytest.raises(BadInput, match=r"answers\.spec\.llm: .*on node ") as caught:
            runner(stored, WANTED, stored.plan(WANTED, BLOCK)["llm"], "test")
        assert "Traceback" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert files(tmp_path / "store") == []


@pytest.mark.slow
def test_a_block_that_kills_every_worker_is_given_up_and_the_rest_kept(cluster, models, seen, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_runner, "_ROUNDS", 1)
    opener = Opener(models, seen, seconds=0, poison=WANTED.texts[0])
    with pytest.raises(StoreError, match=r"1 of 24 blocks are not in .* after 1 rounds: the workers died of them"):
        run(opener, tmp_path / "store", cluster.address)
    assert len(files(tmp_path / "store")) == N_BLOCKS - 1


@pytest.mark.parametrize(("cpus", "gpus"), [(8, 0), (1, 1)])
def test_a_worker_that_no_node_has_room_for(cpus, gpus, capsys):
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    ray = SimpleNamespace(nodes=lambda: nodes)
    asked = {"cpus_per_worker": cpus, "gpus_per_worker": gpus}
    with pytest.raises(BadParameter, match=rf"takes {cpus} CPUs and {gpus} GPUs .* ask for less"):
        ray_runner._say_if_no_node_fits(ray, RaySettings(**asked))
    ray_runner._say_if_no_node_fits(ray, RaySettings(address="auto", **asked))
    assert "yet; waiting for one" in capsys.readouterr().err
    ray_runner._say_if_no_node_fits(ray, RaySettings(cpus_per_worker=4))
    assert capsys.readouterr().err == ""


def test_without_ray_the_error_says_how_to_install_it(models, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadParameter, match=r'pip install "\.\[ray\]"'):
        run(Opener(models), tmp_path, "auto")


def test_a_variable_for_workers_that_is_not_set_is_named(models, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("QAEMB_NO_SUCH", raising=False)
    with pytest.raises(BadParameter, match=r"answers\.ray\.env: QAEMB_NO_SUCH is not set"):
        run(Opener(models), tmp_path, "auto", env=["QAEMB_NO_SUCH"])


def test_a_cluster_that_is_not_there_is_named(models, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(BadParameter, match=r"answers\.ray\.address: no Ray cluster at 127\.0\.0\.1:1"):
        run(Opener(models), tmp_path, "127.0.0.1:1")
