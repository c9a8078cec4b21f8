"""Scoring on Ray: Tune keeps workers alive, the search breeds and writes the ledger here.

Each of Tune's trials is a long-lived worker (:mod:`supernet.ray.worker`), which takes chunks of
architectures from the coordinator (:mod:`supernet.ray.coordinator`) until the search is done.
Between two events of Tune's loop this process collects the scores, records them, and offers what
is bred from them; the order in which they arrive changes nothing.
"""

import contextlib
import io
import logging
import math
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nasgait.config.schema import RayConfig
from nasgait.core.errors import ConfigError, NasgaitError, RunFailed
from nasgait.core.process_reaper import reaping
from nasgait.search.budget import Choices
from nasgait.search.state import SearchState
from supernet.progress import Progress
from supernet.ray.coordinator import Coordinator
from supernet.ray.worker import Job, first_line, work

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A worker without GPUs uses the CPU by itself, so Ray need not hide the GPUs.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
"""Settings of Ray and Tune, unless the environment has others."""

CONNECT_SECONDS = 10
"""How long to wait for an answer from a cluster's address."""

EMPTY_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""A frame of HTTP/2: length 0, type SETTINGS, no flags, stream 0."""

OBJECT_STORE = 100 * 2**20
"""Bytes of a local cluster's object store, which holds next to nothing."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def cluster(settings: RayConfig, threads: int) -> Iterator[None]:
    """Join the cluster that the settings name, or start one on this machine and stop it after.

    Args:
        settings: the cluster, and what each worker needs.
        threads: CPU threads of each worker.

    Raises:
        ConfigError: nothing answers at the address, or no node is large enough for a worker.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Ray and Tune print tables and the fate of workers; stdout is for results.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.ExitStack() as ends:
        if settings.address is None:
            # Most of Ray's processes end with this one; some agents take a minute.
            ends.enter_context(reaping())
        ends.callback(ray.shutdown)
        connect(settings, threads)
        check_room(settings, threads)
        yield


def connect(settings: RayConfig, threads: int) -> None:
    """Connect to the cluster, or start it; ConfigError if that fails."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        if settings.address is not None:
            check_address(settings.address)
            ray.init(address=settings.address, **quiet)
        else:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=math.ceil(settings.workers * cpus(settings, threads)),
                num_gpus=None if settings.gpus else 0,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                **quiet,
            )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        where = "on this machine" if settings.address is None else f"at {settings.address}"
        raise ConfigError(f"search.ray: no cluster {where}: {first_line(error)}") from error


def cpus(settings: RayConfig, threads: int) -> float:
    """CPUs that Ray reserves for a worker."""
    return settings.cpus or threads


def check_address(address: str) -> None:
    """Raise ConfigError unless something answers at ``host:port``; Ray itself resolves ``auto``."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        raise ConfigError(
            f"search.ray.address {address}: allowed are auto and host:port of a cluster that this "
            "machine is a node of, e.g. 10.0.0.1:6379"
        )
    try:
        with socket.create_connection((host, int(port)), CONNECT_SECONDS) as connection:
            # Ray itself would try for minutes to connect to something that is not Ray.
            if os.environ.get("RAY_USE_TLS", "0") == "0" and not speaks_http2(connection):
                raise OSError("what listens there is not Ray")
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"search.ray.address {address}: no cluster answers there ({error}); start one with "
            "ray start --head, or omit the address"
        ) from None


def speaks_http2(connection: socket.socket) -> bool:
    """Whether the other end answers an HTTP/2 preface with settings, as gRPC does (RFC 9113)."""
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EMPTY_SETTINGS)
    head = connection.recv(len(EMPTY_SETTINGS), socket.MSG_WAITALL)
    return len(head) == len(EMPTY_SETTINGS) and head[3] == EMPTY_SETTINGS[3]


def check_room(settings: RayConfig, threads: int) -> None:
    """Raise ConfigError if no node is large enough for a worker; warn if not all fit at once."""
    need = {"CPU": cpus(settings, threads), "GPU": settings.gpus}
    fit = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            fit += int(min(has.get(name, 0) / some for name, some in need.items() if some))
    size = f"{need['CPU']:g} CPUs" + (f" and {need['GPU']:g} GPUs" if need["GPU"] else "")
    if not fit:
        raise ConfigError(
            f"search.ray: no node has {size} for a worker; lower search.ray.cpus or .gpus"
        )
    if fit < settings.workers:
        logger.warning("%d of %d workers fit at once, with %s each", fit, settings.workers, size)


def score_on_ray(job: Job, folder: Path, state: SearchState, progress: Progress) -> None:
    """Score until the search is done.

    Args:
        job: what workers score with.
        folder: where Tune keeps its own files; replaced.
        state: the search.
        progress: shows each score.

    Raises:
        NasgaitError: a worker could not use its input.
        RunFailed: all workers have died more often than ``max_failures``.
    """
    search, settings = job.config.search, job.config.search.ray
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    coordinator = (
        ray.remote(Coordinator)
        .options(num_cpus=0, scheduling_strategy=here)
        .remote(settings.workers, search.chunk)
    )
    callback = SearchCallback(state, coordinator, progress)
    need = {"cpu": cpus(settings, job.threads), "gpu": settings.gpus}
    shutil.rmtree(folder, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(work, job=job, coordinator=coordinator),
            {name: some for name, some in need.items() if some},
        ),
        tune_config=tune.TuneConfig(num_samples=settings.workers),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent.absolute()),
            failure_config=tune.FailureConfig(max_failures=settings.max_failures),
            callbacks=[callback],
            stop=StopWhenDone(callback),
            verbose=0,
        ),
    )
    callback.exchange()
    tuner.fit()
    if callback.error is not None:
        raise callback.error
    if not state.done:
        raise RunFailed(
            f"no scoring worker is left ({callback.last_fault}); {state.scored} scores are in "
            f"{state.ledger.path}, and --resume continues from there"
        )


class SearchCallback(tune.Callback):
    """The search's part in Tune's loop: records new scores, offers what is newly bred.

    Attributes:
        error: what ended the search early, if anything did.
        last_fault: why the last worker that died did so.
    """

    def __init__(self, state: SearchState, coordinator: Any, progress: Progress) -> None:
        self._state = state
        self._coordinator = coordinator
        self._progress = progress
        self._offered: set[Choices] = set()
        self._faults: dict[str, str] = {}
        self.error: Exception | None = None
        self.last_fault = "none started"

    @property
    def done(self) -> bool:
        """Whether workers are no longer needed."""
        return self._state.done or self.error is not None

    def exchange(self) -> None:
        """Record the scores that have arrived and offer what is bred from them."""
        events = self._call("collect")
        for worker, place in events.joined.items():
            logger.info("worker %s: %s", worker, place)
        self._faults |= events.faults
        for score in events.scores:
            self._state.record(score.choices, score.metrics, score.seconds)
            self._progress.scored(score.seconds, score.peak_memory)
        if events.refusals:
            raise events.refusals[0]
        new = [choices for choices in self._state.ready() if choices not in self._offered]
        if new:
            self._offered.update(new)
            self._call("offer", new)
        if self._state.done:
            self._call("close")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune has handled an event, or waited a moment for one."""
        if not self.done:
            with self._errors_kept():
                self.exchange()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has died and is restarted."""
        self._release(trial, "is restarted")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has died for good."""
        self._release(trial, "died as often as search.ray.max_failures allows")

    def _release(self, trial: Any, outcome: str) -> None:
        self.on_step_end(0, [])
        if self.error is not None:
            return
        self.last_fault = self._faults.pop(trial.trial_id, "its process died")
        with self._errors_kept():
            waiting = self._call("release", trial.trial_id)
            logger.warning(
                "worker %s: %s; it %s, and %d architectures that it had wait again",
                trial.trial_id, self.last_fault, outcome, waiting,
            )  # fmt: skip

    @contextlib.contextmanager
    def _errors_kept(self) -> Iterator[None]:
        """Keep an error until Tune has ended, which would wrap it in one of its own."""
        try:
            yield
        except (NasgaitError, RunFailed) as error:
            self.error = error

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._coordinator, method).remote(*arguments))
        except RayError as error:
            raise RunFailed(f"the coordinator of the workers died: {first_line(error)}") from error

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its callbacks, but the search resumes from its ledger."""
        return {}


class StopWhenDone(tune.Stopper):
    """Tells Tune to stop every worker once the search is done."""

    def __init__(self, callback: SearchCallback) -> None:
        self._callback = callback

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No worker stops before the others."""
        return False

    def stop_all(self) -> bool:
        """Whether the search is done."""
        return self._callback.done
