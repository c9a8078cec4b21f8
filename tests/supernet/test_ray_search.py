"""The search on Ray: the local result, whoever is killed; nothing scored twice or left running."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from nasgait.core.errors import DataError, RunFailed
from nasgait.search.ledger import read_ledger
from nasgait.training.output_dir import is_used
from supernet.ray.coordinator import Events, WorkerScore

cluster_utils = pytest.importorskip("ray.cluster_utils")
needs_proc = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks into /proc")

LONGER = ["search.population=12", "search.mutations=6", "search.crossovers=4", "--max-epochs=5"]
"""A search that lasts long enough to be killed in the middle."""


@pytest.fixture(scope="module")
def address():
    """A cluster of one node with two CPUs."""
    node = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def words(trained):
    """The arguments of a search; its scorers have one thread each with either backend."""
    config, checkpoint = trained

    def call(out, *more):
        fixed = ["search", "--config", config, "--supernet", checkpoint, "--out", out]
        return [str(word) for word in (*fixed, *more)]

    return call


def on_ray(address=None):
    return ["--backend", "ray", "threads=2", *(["--ray-address", address] if address else [])]


def start(words, **environment):
    command = [sys.executable, "-m", "nasgait.cli.main", *words]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )


def until_lines(process, ledger, count):
    """Wait until the ledger has so many lines."""
    while not ledger.exists() or ledger.read_text().count("\n") < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def same_result(one, other):
    def scores(out):
        return sorted((e.key, e.generation, *e.values.items()) for e in read_ledger(out))

    assert scores(one / "ledger.jsonl") == scores(other / "ledger.jsonl")
    for name in ("best.yaml", "pareto.json", "generations.jsonl"):
        assert (one / name).read_text() == (other / name).read_text(), name


@pytest.mark.parametrize(
    "goal",
    [
        ["search.objectives=[map]"],
        ["search.objectives=[map, macs]"],
        ["search.objectives=[map, macs]", "search.candidates=4"],
    ],
)
def test_the_local_result(nasgait, words, address, tmp_path, goal):
    code, local, err = nasgait(*words(tmp_path / "local", *goal, "--json"))
    assert code == 0, err
    code, stdout, err = nasgait(*words(tmp_path / "ray", *goal, "--json", *on_ray(address)))
    assert code == 0, err
    assert stdout == local, "stdout is the result and nothing else"
    assert "deprecat" not in err.lower() and "warning" not in err.lower()
    same_result(tmp_path / "local", tmp_path / "ray")


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(nasgait, words, address, tmp_path):
    assert nasgait(*words(tmp_path / "local", *LONGER))[0] == 0
    process = start(words(tmp_path / "ray", *LONGER, *on_ray(address)))
    until_lines(process, tmp_path / "ray" / "ledger.jsonl", 5)
    seen = ""
    while not (found := re.search(r"worker \w+: .*, pid (\d+)", seen)):
        seen += process.stderr.readline()
    os.kill(int(found[1]), signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "its process died; it is restarted" in seen + err
    same_result(tmp_path / "local", tmp_path / "ray")


def marked(mark):
    """Processes that inherited an environment variable."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def reachable(mark):
    """The addresses other than loopback on which processes with the mark listen (/proc/net/tcp)."""
    sockets = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                sockets |= {os.readlink(link) for link in (folder / "fd").iterdir()}
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = line.split()[:10]
            listens = state == "0A" and f"socket:[{inode}]" in sockets
            if listens and not address.split(":")[0].endswith("0100007F"):
                found.add(address)
    return found


@pytest.mark.parametrize("workers", [50, 2**20])
def test_more_workers_than_a_machine_can_start_are_refused(nasgait, words, tmp_path, workers):
    code, _, err = nasgait(*words(tmp_path / "out", *on_ray(), f"search.ray.workers={workers}"))
    assert code == 2 and f"search.ray.workers: {workers} processes on" in err, err
    assert err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_ray_that_does_not_start_is_one_line(nasgait, words, tmp_path, monkeypatch):
    def fails(*args, **options):
        raise Exception("The current node timed out during startup.\nSee the logs.")

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("ray.init", fails)
    code, _, err = nasgait(*words(tmp_path / "out", *on_ray()))
    assert code == 2 and "no cluster on this machine: The current node timed out during" in err
    assert "Traceback" not in err and not list((tmp_path / "temporary").iterdir())


def sessions():
    return set(Path(tempfile.gettempdir()).glob("nasgait-ray-*"))


class FakeCoordinator:
    """Answers what a callback asks of its coordinator; an answer that is an error is raised."""

    def __init__(self, **answers):
        self.answers = answers

    def __call__(self, method, *arguments):
        answer = self.answers.get(method)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Recorder:
    """A search that is never done, and its progress."""

    done = False

    def __init__(self):
        self.recorded = []

    def ready(self):
        return []

    def record(self, choices, metrics, seconds):
        self.recorded.append(choices)

    def scored(self, seconds, peak_memory):
        pass


def watching(monkeypatch, **answers):
    from supernet.ray.backend import SearchCallback

    recorder = Recorder()
    callback = SearchCallback(recorder, None, recorder)
    monkeypatch.setattr(callback, "_call", FakeCoordinator(**answers))
    return callback, recorder


@pytest.mark.parametrize("failing", ["collect", "release"])
def test_a_worker_that_dies_with_the_coordinator(monkeypatch, failing):
    answers = {"collect": Events(), "release": 0} | {failing: RunFailed("the coordinator died")}
    if failing == "collect":
        answers["release"] = RunFailed("reported once is enough")
    callback, _ = watching(monkeypatch, **answers)
    callback.on_trial_recover(0, [], SimpleNamespace(trial_id="a"))
    callback.on_trial_error(0, [], SimpleNamespace(trial_id="b"))
    assert callback.done and str(callback.error) == "the coordinator died"


def test_scores_that_come_with_a_refusal_are_recorded(monkeypatch):
    events = Events(
        [WorkerScore((0, 1), {"map": 1.0}, 1.0, 0)], refusals=[DataError("no store here")]
    )
    callback, recorder = watching(monkeypatch, collect=events)
    callback.on_step_end(0, [])
    assert str(callback.error) == "no store here" and recorder.recorded == [(0, 1)]


def test_no_cluster_for_a_search_that_is_done(nasgait, words, tmp_path, monkeypatch):
    def forbidden(*args):
        raise AssertionError("nothing is left to score")

    out = tmp_path / "out"
    assert nasgait(*words(out, "--max-epochs=0"))[0] == 0
    monkeypatch.setattr("supernet.ray.cluster.cluster", forbidden)
    code, _, err = nasgait(*words(out, "--max-epochs=0", "--resume", *on_ray()))
    assert code == 0 and "measured with" not in err, err


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_search_leaves_nothing_running_and_goes_on(nasgait, words, tmp_path, way):
    assert nasgait(*words(tmp_path / "local", *LONGER))[0] == 0
    out, mark = tmp_path / "ray", uuid.uuid4().hex
    ledger, before = out / "ledger.jsonl", sessions()
    process = start(words(out, *LONGER, *on_ray()), NASGAIT_TEST=mark)
    until_lines(process, ledger, 5)
    assert len(marked(mark)) > 3, "driver, raylet, gcs and workers"
    assert reachable(mark) == set(), "all of them listen on this machine alone"
    (session,) = sessions() - before
    process.send_signal(way)
    _, err = process.communicate(timeout=60)
    codes = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
    assert process.returncode == codes[way] and "Traceback" not in err, err
    for _ in range(100):
        if not marked(mark):
            break
        time.sleep(0.2)
    assert not marked(mark) and not session.exists()
    kept = ledger.read_text()
    process = start(words(out, *LONGER, *on_ray(), "--resume"))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert ledger.read_text().startswith(kept[: kept.rfind("\n") + 1]), "scores are kept"
    same_result(tmp_path / "local", out)


def raising():
    def work(settings, job, coordinator):
        import ray

        ray.get(coordinator.fail.remote(ray.tune.get_context().get_trial_id(), "KeyError: 'x'"))
        raise KeyError("x")

    return work, "KeyError: 'x'"


def vanishing():
    def work(settings, job, coordinator):
        os._exit(1)

    return work, "its process died"


@pytest.mark.slow
@pytest.mark.parametrize("worker", [raising, vanishing])
def test_workers_that_always_die_end_the_search(
    nasgait, words, address, tmp_path, monkeypatch, worker
):
    work, cause = worker()
    monkeypatch.setattr("supernet.ray.backend.work", work)
    out = tmp_path / "out"
    assert nasgait(*words(out, "--max-epochs=0"))[0] == 0
    kept = (out / "ledger.jsonl").read_text()
    (out / "best.yaml").unlink()
    code, stdout, err = nasgait(
        *words(out, "--resume", "search.ray.max_failures=1", *on_ray(address))
    )
    assert code == 1 and stdout == "" and "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("failed:")]
    assert cause in line and "--resume" in line
    assert (out / "ledger.jsonl").read_text() == kept


def test_what_workers_cannot_use_is_wrong_input(nasgait, words, address, tmp_path):
    code, _, err = nasgait(*words(tmp_path / "out", "search.memory=1000", *on_ray(address)))
    assert code == 2 and "search.memory" in err and "Traceback" not in err


def test_a_cluster_without_room(nasgait, words, address, tmp_path):
    code, _, err = nasgait(*words(tmp_path / "out", "search.ray.cpus=64", *on_ray(address)))
    assert code == 2 and "64 CPUs" in err and "Traceback" not in err
    assert not is_used(tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--backend", "ray", "--ray-address", "127.0.0.1:1"], "no cluster answers"),
        (["--backend", "ray", "--ray-address", "ray://127.0.0.1:1"], "host:port"),
        (["--ray-address", "auto"], "--backend ray"),
        (["--backend", "ray", "search.ray.gpus=1", "device=cpu"], "search.ray.gpus"),
        (["--backend", "ray", "search.ray.workers=0"], "search.ray.workers"),
    ],
)
def test_wrong_input(nasgait, words, tmp_path, more, expected):
    code, _, err = nasgait(*words(tmp_path / "out", *more))
    assert code == 2 and expected in err and "Traceback" not in err
    assert not is_used(tmp_path / "out"), "the same command may come again, mended"


def test_an_address_where_something_else_listens(nasgait, words, tmp_path, monkeypatch):
    monkeypatch.setattr("supernet.ray.cluster.CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        code, _, err = nasgait(*words(tmp_path / "out", *on_ray(where)))
    assert code == 2 and "no cluster answers" in err and "Traceback" not in err


def test_without_ray(nasgait, words, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "supernet.ray.backend", raising=False)
    code, _, err = nasgait(*words(tmp_path / "out", "--backend", "ray"))
    assert code == 2 and "ray[tune]" in err and "Traceback" not in err
