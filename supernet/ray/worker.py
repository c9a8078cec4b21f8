"""A scoring worker on Ray: loads the supernet once, then scores chunk after chunk."""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from nasgait.config.schema import ExperimentConfig
from nasgait.core.distributed import pick_device
from nasgait.core.errors import CheckpointError, NasgaitError
from nasgait.core.memory import keep_freed_memory, peak_memory
from nasgait.data.split import Split
from nasgait.data.store import open_store
from nasgait.search.state import each_once
from supernet.ray.coordinator import WorkerScore
from supernet.scoring.scorer import Scorer
from supernet.weights import load_supernet

WAIT = 0.05
"""Seconds until a worker without work asks again."""


@dataclass(frozen=True)
class Job:
    """What every worker scores with; the paths are valid on every node."""

    config: ExperimentConfig
    supernet: Path
    sha256: str
    """Hash of the supernet's checkpoint."""
    split: Split
    threads: int
    """CPU threads of each worker."""

    def scorer(self) -> Scorer:
        """A scorer in this process.

        Raises NasgaitError when its input is missing on this node, or differs.
        """
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        device = pick_device(self.config.device)
        weights = load_supernet(self.supernet, str(self.config.space))
        if weights.sha256 != self.sha256:
            raise CheckpointError(
                f"{self.supernet}: {socket.gethostname()} has another file there than the search's "
                "machine; workers need the same paths, on a shared file system"
            )
        return Scorer(self.config, weights, open_store(self.config.data), self.split, device)


def work(settings: Mapping[str, Any], job: Job, coordinator: Any) -> None:
    """Score chunk after chunk until the search is done: the trainable that Ray Tune runs.

    ``coordinator`` is the handle of a :class:`supernet.ray.coordinator.Coordinator`.
    """
    name = tune.get_context().get_trial_id()
    coordinator.join.remote(name, f"{socket.gethostname()}, pid {os.getpid()}")
    try:
        score_chunks(job.scorer(), coordinator, name)
    except NasgaitError as error:
        ray.get(coordinator.refuse.remote(error))
    except Exception as error:
        ray.get(coordinator.fail.remote(name, f"{type(error).__name__}: {first_line(error)}"))
        raise


def score_chunks(scorer: Scorer, coordinator: Any, name: str) -> None:
    """Take chunks and send back scores, one by one, until there are no more."""
    done = 0
    while (chunk := ray.get(coordinator.take.remote(name))) is not None:
        if not chunk:
            time.sleep(WAIT)
            continue
        for choices, metrics, seconds in each_once(scorer.score_all, chunk):
            score = WorkerScore(choices, metrics, seconds, peak_memory(scorer.device))
            coordinator.score.remote(score)
            done += 1
        tune.report({"scored": done})


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
