"""Exact BatchNorm statistics, against float64 and however the calibration set is cut."""

import copy
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch
from oracles.recalibrate import recalibrate
from torch import nn

from nasgait.nn.norm import BatchNorm
from search_spaces import load_space
from supernet.network import slice_state

SPACE = load_space("nano")
PATH = (0, 3, 5, 1)


def subnet():
    torch.manual_seed(0)
    state = SPACE.supernet().state_dict()
    model = SPACE.build(PATH)
    model.load_state_dict(slice_state(state, model))
    return model.eval()


def sequences(count=10):
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 12, (count,), generator=generator)
    return torch.rand(count, 12, 32, 22, generator=generator), lengths


def statistics(model):
    return {n: t.clone() for n, t in model.state_dict().items() if "running" in n}


def calibrated(model, cuts):
    silhouettes, lengths = sequences()
    batches = zip(silhouettes.split(cuts), lengths.split(cuts), strict=True)
    recalibrate(model, [partial(model, x, n) for x, n in batches])
    return statistics(model)


def brute_force(model):
    """Each sequence alone, a BatchNorm at a time from the input on, in float64."""
    model = copy.deepcopy(model).double()
    silhouettes, lengths = sequences()
    singles = [x[None, : int(n)].double() for x, n in zip(silhouettes, lengths, strict=True)]
    seen: list[torch.Tensor] = []
    reached: list[BatchNorm] = []
    hooks = [
        m.register_forward_pre_hook(lambda module, args: reached.append(module))
        for m in model.modules()
        if isinstance(m, BatchNorm)
    ]
    with torch.no_grad():
        model(singles[0])
        for hook in hooks:
            hook.remove()
        for norm in reached:
            seen.clear()
            hook = norm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
            for single in singles:
                model(single)
            hook.remove()
            values = torch.cat([x.transpose(0, 1).flatten(1) for x in seen], dim=1)
            norm.running_mean.copy_(values.mean(1))
            norm.running_var.copy_(values.var(1, correction=0))
    return statistics(model)


def test_equals_brute_force_over_single_sequences():
    model = subnet()
    expected = brute_force(model)
    for name, value in calibrated(model, [4, 6]).items():
        torch.testing.assert_close(value.double(), expected[name], rtol=2e-5, atol=2e-6, msg=name)


def test_does_not_depend_on_how_the_sequences_are_cut():
    whole = calibrated(subnet(), [10])
    for cuts in ([1] * 10, [3, 7], [9, 1]):
        for name, value in calibrated(subnet(), cuts).items():
            torch.testing.assert_close(value, whole[name], rtol=1e-5, atol=1e-6, msg=name)


def test_the_same_every_time():
    first, second = calibrated(subnet(), [2] * 5), calibrated(subnet(), [2] * 5)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_any_dimension():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), BatchNorm(3), nn.Flatten(), BatchNorm(3 * 16))
    x = torch.rand(20, 1, 6, 6) + 2
    recalibrate(model, [partial(model, part) for part in x.split(7)])
    features = model[0](x)
    torch.testing.assert_close(model[1].running_mean, features.mean((0, 2, 3)))
    torch.testing.assert_close(model[1].running_var, features.var((0, 2, 3), correction=0))
    torch.testing.assert_close(model[3].running_mean, model[:3](x).mean(0), rtol=1e-5, atol=1e-5)


def test_leaves_weights_and_mode_alone():
    model = subnet().train()
    before = {n: t.clone() for n, t in model.state_dict().items() if "running" not in n}
    calibrated(model, [5, 5])
    assert model.training and all("forward" not in vars(norm) for norm in norms(model))
    for name, value in before.items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_an_error_in_one_batch_surfaces_and_nothing_hangs():
    model = subnet()
    silhouettes, lengths = sequences()
    broken = partial(model, silhouettes[:, :, :3], lengths)
    good = partial(model, silhouettes, lengths)
    with pytest.raises(Exception, match=r"\w"):
        recalibrate(model, [good, broken, good])
    assert all("forward" not in vars(norm) for norm in norms(model))


def norms(model):
    return [m for m in model.modules() if isinstance(m, BatchNorm)]


RANKS = textwrap.dedent(
    """
    import sys
    from functools import partial
    import torch
    import torch.distributed as dist
    sys.path[:0] = sys.argv[2:]
    from test_recalibrate import calibrated, sequences, statistics, subnet
    from oracles.recalibrate import recalibrate

    dist.init_process_group("gloo")
    model, (silhouettes, lengths) = subnet(), sequences()
    mine = slice(0, 4) if dist.get_rank() == 0 else slice(4, 10)
    parts = zip(silhouettes[mine].split(2), lengths[mine].split(2))
    recalibrate(model, [partial(model, x, n) for x, n in parts])
    torch.save(statistics(model), f"{sys.argv[1]}/{dist.get_rank()}.pt")
    dist.destroy_process_group()
    """
)


def test_pooled_over_ranks(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    # The checkout first: tests/search_spaces is no package of ours.
    folders = map(str, reversed(Path(__file__).parents[:3]))
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
         str(script), str(tmp_path), *folders],
        check=True, capture_output=True,
    )  # fmt: skip
    whole = calibrated(subnet(), [10])
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in found.items():
            torch.testing.assert_close(value, whole[name], rtol=1e-5, atol=1e-6, msg=name)
