"""Scoring on Ray: Tune keeps workers alive, the search breeds and writes the ledger here.

Each of Tune's trials is a long-lived worker (:mod:`supernet.ray.worker`), which takes chunks of
architectures from the coordinator (:mod:`supernet.ray.coordinator`) until the search is done.
Between two events of Tune's loop this process collects the scores, records them, and offers what
is bred from them; the order in which they arrive changes nothing.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nasgait.core import interrupts
from nasgait.core.errors import NasgaitError, RunFailed
from nasgait.search.budget import Choices
from nasgait.search.state import SearchState
from supernet.progress import Progress
from supernet.ray.cluster import cpus
from supernet.ray.coordinator import Coordinator
from supernet.ray.worker import Job, first_line, work

logger = logging.getLogger(__name__)


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
        interrupts.check()
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
