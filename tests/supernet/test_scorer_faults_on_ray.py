"""A worker on Ray whose scorer breaks its word says so, instead of asking for the same for ever."""

import threading
from types import SimpleNamespace

import pytest

from nasgait.core.errors import RunFailed
from supernet.ray.coordinator import Coordinator

ray_worker = pytest.importorskip("supernet.ray.worker")

ARCHITECTURES = [(0, 1), (0, 2), (1, 0)]


class Here:
    """The coordinator in this process, called as Ray calls an actor."""

    def __init__(self):
        self.actor = Coordinator(workers=1, chunk=3)
        self.actor.offer(ARCHITECTURES)

    def __getattr__(self, name):
        return SimpleNamespace(remote=getattr(self.actor, name))


def scored(choices):
    return choices, {"map": 1.0}, 0.1


FAULTS = {
    "nothing": (lambda asked: [], "left out 3 of the 3"),
    "too few": (lambda asked: map(scored, asked[:-1]), "left out 1 of the 3"),
    "unknown": (lambda asked: [scored((9, 9))], "9-9 without being asked"),
    "twice": (lambda asked: map(scored, [asked[0], *asked]), "0-1 once more"),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_it_fails_within_seconds(monkeypatch, name):
    score_all, words = FAULTS[name]
    monkeypatch.setattr(ray_worker.ray, "get", lambda answer: answer)
    monkeypatch.setattr(ray_worker.tune, "report", lambda figures: None)
    coordinator, errors = Here(), []
    scorer = SimpleNamespace(score_all=score_all, device=SimpleNamespace(type="cpu"))

    def work():
        try:
            ray_worker.score_chunks(scorer, coordinator, "worker")
        except RunFailed as error:
            errors.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    coordinator.actor.close()  # where it hangs, it leaves now
    assert errors and words in errors[0]
    assert all(score.choices in ARCHITECTURES for score in coordinator.actor.collect().scores)
