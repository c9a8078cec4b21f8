"""BatchNorm against torch's in float64, with padding, over ranks and when calibrating."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from oracles.recalibrate import calibrating
from torch import nn

from nasgait.nn.norm import BatchNorm, Moments, moments, pool

TORCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
SHAPES = [(6, 5), (6, 5, 9), (5, 6, 7, 8), (4, 8, 6, 10, 7), (32, 16, 16, 32, 22)]
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def make(shape, dtype, channels_last, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(shape, generator=generator) * 2 + 3).to(dtype)
    gradient = torch.randn(shape, generator=generator).to(dtype)
    if channels_last:
        x = x.contiguous(memory_format=FORMATS[len(shape)])
    norm = BatchNorm(shape[1])
    with torch.no_grad():
        norm.weight.copy_(1 + torch.rand(shape[1], generator=generator))
        norm.bias.copy_(torch.randn(shape[1], generator=generator))
    return norm, x.requires_grad_(), gradient


def reference(norm, x, gradient):
    """The same step by torch's BatchNorm in float64."""
    theirs = TORCH[x.dim()](x.shape[1]).double()
    theirs.load_state_dict(norm.double().state_dict())
    norm.float()
    x = x.detach().double().contiguous().requires_grad_()
    y = theirs(x)
    y.backward(gradient.double())
    return theirs, x, y


def gap(ours, wanted):
    ours, wanted = ours.detach().double(), wanted.detach()
    return float((ours - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize(
    ("shape", "channels_last"),
    [(shape, last) for shape in SHAPES for last in sorted({False, len(shape) in FORMATS})],
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13), (torch.bfloat16, 1e-2)]
)
def test_training_step_equals_torch_in_float64(shape, channels_last, dtype, tolerance):
    norm, x, gradient = make(shape, dtype, channels_last)
    theirs, x64, y64 = reference(norm, x, gradient)
    if dtype == torch.float64:
        norm.double()
    y = norm(x)
    y.backward(gradient)
    assert y.dtype == dtype
    assert gap(y, y64) < tolerance
    assert gap(x.grad, x64.grad) < tolerance
    statistics = min(tolerance, 1e-4)  # kept in float32 whatever the input
    for ours, wanted in (
        (norm.weight.grad, theirs.weight.grad),
        (norm.bias.grad, theirs.bias.grad),
        (norm.running_mean, theirs.running_mean),
        (norm.running_var, theirs.running_var),
    ):
        assert gap(ours, wanted) < statistics
    assert norm.num_batches_tracked == 1


def test_state_dict_is_that_of_torch():
    assert set(BatchNorm(4).state_dict()) == set(nn.BatchNorm3d(4).state_dict())


@pytest.mark.parametrize("channels_last", [False, True])
def test_padding_enters_no_statistic_and_no_gradient(channels_last):
    """A padded batch gives what the concatenated real frames give."""
    norm, x, gradient = make((3, 4, 6, 5, 2), torch.float64, channels_last)
    norm.double()
    lengths = torch.tensor([6, 2, 4])
    valid = (torch.arange(6) < lengths[:, None])[:, None, :, None, None]
    with torch.no_grad():
        x.masked_fill_(~valid, torch.nan)
    real = valid[:, 0, :, 0, 0]
    frames = x.detach().transpose(1, 2)[real].requires_grad_()
    theirs = nn.BatchNorm2d(4).double()
    theirs.load_state_dict(norm.state_dict())
    y64 = theirs(frames)
    y64.backward(gradient.transpose(1, 2)[real])
    y = norm(x, valid)
    y.backward(gradient)
    torch.testing.assert_close(y.transpose(1, 2)[real], y64)
    torch.testing.assert_close(x.grad.transpose(1, 2)[real], frames.grad)
    assert not y.transpose(1, 2)[~real].any()
    assert not x.grad.transpose(1, 2)[~real].any()
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[key], value)
    torch.testing.assert_close(norm.weight.grad, theirs.weight.grad)


def test_gradients_by_finite_differences():
    torch.manual_seed(0)
    norm = BatchNorm(3).double()
    valid = torch.tensor([[True] * 4, [True, True, False, False]])[:, None]
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm(x, valid), (x,))
    assert torch.autograd.gradcheck(norm, (x,))


def test_one_position_cannot_be_normalised():
    with pytest.raises(ValueError, match="at least 2"):
        BatchNorm(3)(torch.randn(1, 3, 1))


def test_pooled_moments_are_those_of_everything():
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((n, 3)) * 5 + 100 for n in (1, 7, 40)]
    found = pool([moments(torch.from_numpy(part)) for part in parts])
    everything = np.concatenate(parts)
    assert found.count == len(everything)
    np.testing.assert_allclose(found.mean, everything.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.m2 / found.count, everything.var(0), rtol=1e-10)


@pytest.mark.parametrize("training", [False, True])
def test_calibration_normalises_with_what_it_is_given(training):
    norm = BatchNorm(2).train(training)
    x = torch.randn(5, 2, 3)
    seen = []

    def answer(own: Moments) -> Moments:
        seen.append(own)
        return Moments(4.0, torch.tensor([1.0, 2.0]), torch.tensor([16.0, 36.0]))

    y = calibrating(norm, answer, x)
    torch.testing.assert_close(seen[0].mean.float(), x.mean((0, 2)))
    torch.testing.assert_close(norm.running_mean, torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(norm.running_var, torch.tensor([4.0, 9.0]))
    wanted = (x - torch.tensor([1.0, 2.0])[:, None]) / torch.tensor([2.0, 3.0])[:, None]
    torch.testing.assert_close(y, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.eval()(x), y)


def _rank(rank: int, address: str, padded: bool) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    norm, x, gradient, valid = _global(padded)
    rows = slice(0, 2) if rank == 0 else slice(2, 5)
    own = x.detach()[rows].requires_grad_()
    y = norm(own, None if valid is None else valid[rows])
    y.backward(gradient[rows])
    alone, x, gradient, valid = _global(padded)
    dist.destroy_process_group()  # from here on this rank is the only process
    whole = alone(x, valid)
    whole.backward(gradient)
    close = torch.testing.assert_close
    close(y, whole[rows], atol=1e-6, rtol=1e-5)
    close(own.grad, x.grad[rows], atol=1e-6, rtol=1e-5)
    for key, value in alone.state_dict().items():
        close(norm.state_dict()[key], value, atol=1e-6, rtol=1e-5)
    torch.save(
        (norm.weight.grad, norm.bias.grad, alone.weight.grad, alone.bias.grad),
        address.removeprefix("file://") + f".{rank}",
    )


def _global(padded):
    norm, x, gradient = make((5, 4, 6, 3, 2), torch.float32, True, seed=3)
    lengths = torch.tensor([6, 1, 2, 6, 5])
    valid = (torch.arange(6) < lengths[:, None])[:, None, :, None, None] if padded else None
    return norm, x, gradient, valid


@pytest.mark.parametrize("padded", [False, True])
def test_two_gloo_ranks_equal_one_process(tmp_path, padded):
    address = f"file://{tmp_path}/meet"
    mp.spawn(_rank, args=(address, padded), nprocs=2)
    first, second = (torch.load(tmp_path / f"meet.{rank}") for rank in (0, 1))
    for i in (0, 1):  # gradients of weight and bias add up over the ranks
        torch.testing.assert_close(first[i] + second[i], first[i + 2], atol=1e-5, rtol=1e-5)
