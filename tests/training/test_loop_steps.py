"""What changes from step to step of a training: rate, path, batch; and the same after a resume.

The only weight falls by its gradient, which is 1, times the rate: so the weights that the
forward passes saw tell the rates that were used, whatever the optimizer says of itself.
"""

import time
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from nasgait.config.schema import BatchConfig, OptimizerConfig, ScheduleConfig, TrainConfig
from nasgait.core.distributed import World
from nasgait.core.errors import DataError
from nasgait.core.metrics_log import read_metrics
from nasgait.data.loader import Batch
from nasgait.training.checkpoint import Checkpoints, load_checkpoint
from nasgait.training.loop import PeriodicEvaluation, Training, announce, fit, progress, train_step

ALONE = World(0, 1, torch.device("cpu"))

SCHEDULES = {
    "constant": (ScheduleConfig(kind="constant"), [1, 1, 1, 1, 1, 1]),
    "warm-up": (ScheduleConfig(kind="constant", warmup=3), [0.25, 0.5, 0.75, 1, 1, 1]),
    "milestones": (
        ScheduleConfig(kind="multi-step", milestones=(2, 4)),
        [1, 1, 0.1, 0.1, 0.01, 0.01],
    ),
    "milestone-after-warm-up": (
        ScheduleConfig(kind="multi-step", warmup=1, milestones=(3, 5), gamma=0.5),
        [0.5, 1, 1, 0.5, 0.5, 0.25],
    ),
    # cos(k pi / 6) is 1, sqrt(3) / 2, 1 / 2, 0, and so back.
    "cosine": (
        ScheduleConfig(kind="cosine"),
        [1, 0.9330127018922193, 0.75, 0.5, 0.25, 0.0669872981077807],
    ),
    # cos(k pi / 4) is 1, sqrt(2) / 2, 0 and so back; a tenth stays.
    "cosine-after-warm-up": (
        ScheduleConfig(kind="cosine", warmup=2, final=0.1),
        [1 / 3, 2 / 3, 1, 0.8681980515339464, 0.55, 0.2318019484660536],
    ),
    # (1 - cos(pi / 3)) / 2 and (1 - cos(2 pi / 3)) / 2 on the way up.
    "one-cycle": (
        ScheduleConfig(kind="one-cycle", warmup=2),
        [0.25, 0.75, 1, 0.8535533905932737, 0.5, 0.1464466094067263],
    ),
}
PEAK = 0.2
each_schedule = pytest.mark.parametrize("name", list(SCHEDULES))


class Weight(nn.Module):
    """One weight, and what each forward pass saw: weight, batch, path."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []
        self.batches = []
        self.paths = []

    def forward(self, silhouettes, lengths=None, arch=None):
        self.seen.append(self.weight.item())
        self.batches.append(int(silhouettes[0, 0, 0, 0]))
        self.paths.append(arch)
        return self.weight

    def rates(self):
        """How far the weight fell in each step that is over."""
        return [before - after for before, after in pairwise([*self.seen, self.weight.item()])]


class Numbered:
    """Batches that hold the number of their step; breaks before the step ``stop``."""

    config = BatchConfig(ids=2, seqs=2, frames=1)

    def __init__(self, stop=None):
        self.broken_at = stop

    def stream(self, start, stop):
        for step in range(start, stop):
            if step == self.broken_at:
                raise KeyboardInterrupt
            yield numbered(step)


def numbered(step):
    return Batch(torch.full((4, 1, 2, 2), float(step)), torch.tensor([0, 0, 1, 1]))


def falling(output, labels):
    return output.sum(), {}


def training(name="constant", **optimizer):
    settings = {"lr": PEAK, "momentum": 0.0, "weight_decay": 0.0, **optimizer}
    recipe = TrainConfig(
        steps=6,
        optimizer=OptimizerConfig(**settings),
        schedule=SCHEDULES[name][0],
        precision="float64",
        checkpoint_every=2,
        log_every=1,
    )
    return Training(Weight(), recipe, ALONE, criterion=falling)


def wanted(name):
    return pytest.approx([PEAK * share for share in SCHEDULES[name][1]], rel=1e-6)


def logged(out):
    lines = read_metrics(out / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    return [line["lr"] for line in lines]


def interrupted(begun, out, stop, **options):
    with pytest.raises(KeyboardInterrupt):
        fit(begun, Numbered(stop), out, **options)


@each_schedule
@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_each_step_is_taken_at_the_rate_of_the_schedule(name, kind):
    """Adam's step is the rate, too, where all gradients are 1."""
    begun = training(name, kind=kind)
    for step in range(6):
        train_step(begun, numbered(step), None)
    assert begun.model.rates() == wanted(name)


@each_schedule
def test_a_line_of_metrics_tells_the_rate_of_its_step(name, tmp_path):
    begun = training(name)
    fit(begun, Numbered(), tmp_path)
    assert begun.model.rates() == wanted(name)
    assert logged(tmp_path) == wanted(name)


@each_schedule
@pytest.mark.parametrize("stop", [3, 4])
def test_the_schedule_goes_on_after_a_resume(name, stop, tmp_path):
    """The checkpoints are those of steps 2 and 4; what came after is done again."""
    interrupted(training(name), tmp_path, stop)
    resumed = training(name)
    fit(resumed, Numbered(), tmp_path, resume=True)
    done = stop // 2 * 2
    assert resumed.model.rates() == pytest.approx([PEAK * s for s in SCHEDULES[name][1][done:]])
    assert logged(tmp_path) == wanted(name)


def test_momentum_gathers_once_a_step_and_goes_on_after_a_resume(tmp_path):
    """Half of the velocity stays: 1, 1.5, 1.75, ...; at milestones the rate falls, not it."""
    interrupted(training("milestones", momentum=0.5), tmp_path, 3)
    resumed = training("milestones", momentum=0.5)
    fit(resumed, Numbered(), tmp_path, resume=True)
    velocities = [1, 1.5, 1.75, 1.875, 1.9375, 1.96875]
    rates = [PEAK * share for share in SCHEDULES["milestones"][1]]
    moves = [rate * velocity for rate, velocity in zip(rates, velocities, strict=True)]
    assert resumed.model.rates() == pytest.approx(moves[2:])
    assert resumed.model.weight.item() == pytest.approx(-sum(moves))


def test_seconds_add_up_over_resumptions(tmp_path):
    began = time.perf_counter()
    interrupted(training(), tmp_path, 3)
    spent = time.perf_counter() - began
    saved = Checkpoints(tmp_path / "checkpoints").newest().seconds
    assert 0 < saved < spent
    resumed, again = training(), time.perf_counter()
    fit(resumed, Numbered(), tmp_path, resume=True)
    assert saved < resumed.seconds < saved + time.perf_counter() - again


def test_weight_decay_is_counted_once_a_step():
    """From 0 with rate 0.2 and decay 0.5: w falls by 0.2 (1 + w / 2) each time."""
    begun = training(weight_decay=0.5)
    for step in range(3):
        train_step(begun, numbered(step), None)
    assert begun.model.seen == pytest.approx([0, -0.2, -0.38])
    assert begun.model.weight.item() == pytest.approx(-0.542)


def test_step_batch_and_path_go_together_also_after_a_resume(tmp_path):
    def path_at(step):
        return (step, 10 * step)

    interrupted(training(), tmp_path, 5, path_at=path_at)
    resumed = training()
    fit(resumed, Numbered(), tmp_path, path_at=path_at, resume=True)
    assert resumed.model.batches == [4, 5]
    assert resumed.model.paths == [(4, 40), (5, 50)]
    whole = training()
    fit(whole, Numbered(), tmp_path / "whole", path_at=path_at)
    assert whole.model.batches == [0, 1, 2, 3, 4, 5]
    assert whole.model.paths == [(step, 10 * step) for step in range(6)]


def test_checkpoints_hold_the_state_after_their_step(tmp_path):
    fit(training("milestones"), Numbered(), tmp_path)
    kept = Checkpoints(tmp_path / "checkpoints").entries()
    assert [entry.step for entry in kept] == [4, 6]
    for entry, weight in zip(kept, [-0.44, -0.444], strict=True):
        saved = load_checkpoint(tmp_path / "checkpoints" / entry.file)
        assert saved["step"] == entry.step
        assert float(saved["model"]["weight"]) == pytest.approx(weight)


def test_the_model_is_judged_after_every_so_many_steps(tmp_path):
    begun = training()
    judged = []

    def judge():
        judged.append((begun.step, round(begun.model.weight.item(), 6)))
        return {"test/map": 10.0 * begun.step}

    fit(begun, Numbered(), tmp_path, evaluation=PeriodicEvaluation(3, judge))
    assert judged == [(3, -0.6), (6, -1.2)]
    lines = {line["step"]: line for line in read_metrics(tmp_path / "metrics.jsonl")}
    assert {step: line["test/map"] for step, line in lines.items() if "test/map" in line} == {
        3: 30,
        6: 60,
    }


@pytest.mark.parametrize(("kind", "megabytes"), [("sgd", 64), ("adam", 96), ("adamw", 96)])
def test_the_plan_says_what_checkpoints_take(kind, megabytes, caplog):
    """A million weights of 8 bytes, one moment or two, in the kept checkpoints and the next."""
    recipe = TrainConfig(
        steps=40, keep=3, optimizer=OptimizerConfig(kind=kind), precision="float64"
    )
    begun = Training(nn.Linear(1000, 1000, bias=False), recipe, ALONE, criterion=falling)
    begun.step = 7
    with caplog.at_level("INFO"):
        announce(begun, BatchConfig(ids=6, seqs=2, frames=8))
    assert caplog.messages == [
        f"plan: steps 7 to 40 of 6 x 2 sequences x 8 frames; 1.00 M parameters; up to "
        f"{megabytes} MB of disk for 4 checkpoints; time and memory follow after 8 steps"
    ]


def test_ranks_with_other_sequences_do_not_train(monkeypatch, tmp_path):
    monkeypatch.setattr("nasgait.training.loop.agreed", lambda *_: False)
    begun = training("milestones")
    with pytest.raises(DataError, match="the ranks have different stores"):
        fit(begun, Numbered(), tmp_path)
    assert begun.step == 0 and not any(tmp_path.iterdir())


def test_the_cost_of_a_step_is_measured_behind_the_warm_up(monkeypatch, caplog):
    """Three steps are not counted; of the next five each takes six seconds."""
    begun = training()
    begun.config = replace(begun.config, steps=40)
    begun.step = 10
    clock = iter([100.0, 130.0])
    monkeypatch.setattr("nasgait.training.loop.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("nasgait.training.loop.peak_memory", lambda device: 3 * 2**29)
    with caplog.at_level("INFO"):
        for done, _ in enumerate(progress(begun, Numbered())):
            assert len(caplog.messages) == (done >= 8)
    assert done == 29
    assert caplog.messages == [
        "cost: 6.000 s a step, about 2.2 minutes to go; peak memory 1.50 GiB"
    ]
