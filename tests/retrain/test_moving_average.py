"""The target of pre-training moves once a step, by its share of the weights after that step."""

from itertools import pairwise

import torch

from nasgait.training.checkpoint import Checkpoints, load_checkpoint

PRETRAIN = """
pretrain:
  steps: 4
  views: {sequences: 4, frames: 3}
  optimizer: {lr: 0.1}
  hidden: 8
  projection: 4
  momentum: 0.75
  precision: float64
  checkpoint_every: 1
  keep: 4
"""


def states(out):
    checkpoints = Checkpoints(out / "checkpoints")
    return {
        entry.step: load_checkpoint(checkpoints.directory / entry.file)["model"]
        for entry in checkpoints.entries()
    }


def followed(state):
    """Pairs of a target's weight and the one that it follows."""
    ours = {"target.": "online.", "target_projector.": "projector."}
    for name in state:
        for target, online in ours.items():
            statistic = name.rpartition(".")[2] in {"running_mean", "running_var"}
            if name.startswith(target) and state[name].is_floating_point() and not statistic:
                yield name, online + name.removeprefix(target)


def test_each_step_moves_the_target_by_a_quarter_once(nasgait, tiny_config, tmp_path):
    tiny_config.write_text(tiny_config.read_text() + PRETRAIN)
    out = tmp_path / "out"
    words = ("pretrain", "--config", tiny_config, "--model", "gaitset-nano", "--out", out)
    code, _, err = nasgait(*words)
    assert code == 0, err
    last = Checkpoints(out / "checkpoints").latest()
    undisturbed = states(out)
    assert list(undisturbed) == [1, 2, 3, 4]
    last.write_bytes(last.read_bytes()[:1000])
    code, _, err = nasgait(*words, "--resume")
    assert code == 0 and "at step 3 of 4" in err
    resumed = states(out)
    for before, after in pairwise([*(undisturbed[step] for step in (1, 2, 3)), resumed[4]]):
        pairs = dict(followed(after))
        assert len(pairs) > 8
        for target, online in pairs.items():
            wanted = 0.75 * before[target] + 0.25 * after[online]
            torch.testing.assert_close(after[target], wanted, rtol=1e-12, atol=1e-14, msg=target)
            assert not torch.equal(after[target], before[target]), target
