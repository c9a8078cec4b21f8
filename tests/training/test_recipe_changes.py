"""A resume may change what is safe, says at which step, and refuses the rest by name."""

from dataclasses import replace

import pytest
import torch
from test_loop_steps import ALONE, PEAK, SCHEDULES, Numbered, Weight, falling, interrupted, training

from nasgait.config.schema import OptimizerConfig
from nasgait.core.errors import CheckpointError, RunFailed
from nasgait.training.checkpoint import Checkpoints, load_checkpoint
from nasgait.training.loop import Training, fit


def changed(name="constant", optimizer=None, criterion=falling, **more):
    """The training of ``test_loop_steps`` with another recipe."""
    recipe = training(name).config
    optimizer = replace(recipe.optimizer, **(optimizer or {}))
    recipe = replace(recipe, optimizer=optimizer, **more)
    return Training(Weight(), recipe, ALONE, section="supernet", criterion=criterion)


def newest(out):
    return Checkpoints(out / "checkpoints").newest()


def change(key, before, after, step=2):
    return {"step": step, "key": key, "before": before, "after": after}


@pytest.mark.parametrize("name", ["constant", "milestones", "cosine", "one-cycle"])
def test_the_rate_changes_from_the_step_of_the_checkpoint_on(name, tmp_path):
    interrupted(training(name), tmp_path, 3)
    resumed = changed(name, {"lr": PEAK / 2})
    fit(resumed, Numbered(), tmp_path, resume=True)
    shares = SCHEDULES[name][1][2:]
    assert resumed.model.rates() == pytest.approx([PEAK / 2 * share for share in shares])
    wanted = [change("optimizer.lr", PEAK, PEAK / 2)]
    assert resumed.recipe_changes == wanted
    saved = load_checkpoint(tmp_path / "checkpoints" / newest(tmp_path).file)
    assert saved["recipe_changes"] == wanted and saved["recipe"]["optimizer"]["lr"] == PEAK / 2


def test_a_changed_training_is_resumed_to_the_same_bytes(tmp_path):
    ends = []
    for stops in ((3,), (3, 5), (4, 5)):
        out = tmp_path / str(stops)
        interrupted(training(), out, 3)
        for stop in stops[1:]:
            interrupted(changed(optimizer={"lr": 0.1, "clip_norm": 5.0}), out, stop, resume=True)
        fit(changed(optimizer={"lr": 0.1, "clip_norm": 5.0}), Numbered(), out, resume=True)
        ends.append(newest(out).sha256)
    assert len(set(ends)) == 1


def test_two_changes_are_both_written_down(tmp_path):
    interrupted(training(), tmp_path, 3)
    interrupted(changed(optimizer={"lr": 0.1}), tmp_path, 5, resume=True)
    resumed = changed(optimizer={"lr": 0.1, "clip_value": 0.5}, precision="float32")
    fit(resumed, Numbered(), tmp_path, resume=True)
    assert resumed.recipe_changes == [
        change("optimizer.lr", PEAK, 0.1),
        change("optimizer.clip_value", None, 0.5, 4),
        change("precision", "float64", "float32", 4),
    ]
    assert resumed.model.rates() == pytest.approx([0.05, 0.05])


@pytest.mark.parametrize("steps", [4, 5, 9])
@pytest.mark.parametrize("name", ["constant", "milestones"])
def test_the_number_of_steps_changes_where_no_rate_depends_on_it(name, steps, tmp_path):
    interrupted(training(name), tmp_path, 5)
    fit(changed(name, steps=steps), Numbered(), tmp_path, resume=True)
    whole = changed(name, steps=steps)
    fit(whole, Numbered(), tmp_path / "whole")
    assert newest(tmp_path).step == steps
    one, other = (
        load_checkpoint(out / "checkpoints" / newest(out).file)
        for out in (tmp_path, tmp_path / "whole")
    )
    assert torch.equal(one["model"]["weight"], other["model"]["weight"])


def test_intervals_change_without_a_word(tmp_path):
    interrupted(training(), tmp_path, 3)
    resumed = changed(log_every=3, checkpoint_every=1, keep=4)
    fit(resumed, Numbered(), tmp_path, resume=True)
    assert resumed.recipe_changes == []
    assert [entry.step for entry in Checkpoints(tmp_path / "checkpoints").entries()] == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("cosine", {"steps": 9}, "supernet.steps (6, not 9)"),
        ("one-cycle", {"steps": 9}, "supernet.steps (6, not 9)"),
        ("constant", {"steps": 1}, "supernet.steps (6, not 1)"),
        (
            "constant",
            {"optimizer": {"momentum": 0.5}},
            "supernet.optimizer.momentum (0.0, not 0.5)",
        ),
        ("constant", {"optimizer": {"kind": "adam"}}, "supernet.optimizer.kind (sgd, not adam)"),
        ("milestones", {"channels_last": False}, "supernet.channels_last (True, not False)"),
    ],
)
def test_what_may_not_change_is_named_with_both_values(name, change, said, tmp_path):
    interrupted(training(name), tmp_path, 3)
    with pytest.raises(CheckpointError) as caught:
        fit(changed(name, **change), Numbered(), tmp_path, resume=True)
    assert f"was made with another {said}; resume with" in str(caught.value)


def test_nothing_changes_in_a_training_that_is_over(tmp_path):
    fit(training(), Numbered(), tmp_path)
    with pytest.raises(CheckpointError, match=r"lr \(0.2, not 0.1\).*6 steps are done"):
        fit(changed(optimizer={"lr": 0.1}), Numbered(), tmp_path, resume=True)
    fit(changed(keep=5), Numbered(), tmp_path, resume=True)
    longer = changed(optimizer={"lr": 0.1}, steps=8)
    fit(longer, Numbered(), tmp_path, resume=True)
    assert longer.model.rates() == pytest.approx([0.1, 0.1])
    assert [one["step"] for one in longer.recipe_changes] == [6, 6]


# Numbers that are not finite ---------------------------------------------------------------------


def test_weights_that_are_not_finite_reach_no_checkpoint(tmp_path):
    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("inf")

    def criterion(output, labels):
        steep = output.item() < -2.9 * PEAK
        return (Overflow.apply(output) if steep else output).sum(), {}

    broken = changed(criterion=criterion)
    with pytest.raises(RunFailed) as caught:
        fit(broken, Numbered(), tmp_path)
    assert "1 weights, weight first, are not finite after step 4" in str(caught.value)
    assert "lower supernet.optimizer.lr (now 0.2) or set supernet.optimizer.clip_norm" in str(
        caught.value
    )
    assert newest(tmp_path).step == 2
    # As it was told:
    cured = changed(optimizer={"lr": 0.01}, criterion=criterion)
    fit(cured, Numbered(), tmp_path, resume=True)
    assert newest(tmp_path).step == 6 and torch.isfinite(cured.model.weight).all()


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_the_cure_names_what_can_be_typed(precision, tmp_path):
    def criterion(output, labels):
        return output.sum() * float("nan"), {}

    config = {"clip_norm": 3.0, "kind": OptimizerConfig().kind}
    with pytest.raises(RunFailed, match=r"not finite at step 1; lower supernet.optimizer.lr") as e:
        fit(
            changed(optimizer=config, criterion=criterion, precision=precision),
            Numbered(),
            tmp_path,
        )
    assert "lower supernet.optimizer.clip_norm (now 3)" in str(e.value)
    assert ("precision=float32" in str(e.value)) == (precision == "bfloat16")
