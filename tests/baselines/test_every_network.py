"""What must hold of every network that can be trained: the hand-designed ones and the spaces'."""

import copy

import pytest
import torch

from nasgait.baselines import registry
from nasgait.nn.base import GaitNetwork
from nasgait.profiling.macs import count_params, profile
from search_spaces import load_space
from search_spaces.space import space_names

CLASSES, FRAMES = 5, 7
WITHOUT_GRADIENT = {
    # Batch normalisation without a bias, as published (GLN, section 3.3).
    "gln": {"neck.norm.bias", "neck.compact_norm.bias"},
    # Part of every published checkpoint, used by no forward.
    "selfgait": {"spare.fc_bin"},
}


def build(name: str) -> GaitNetwork:
    """A hand-designed network by name, or the path of middle choices of a space."""
    torch.manual_seed(0)
    if name in registry.names():
        return registry.build(name, CLASSES)
    space = load_space(name)
    return space.build([count // 2 for count in space.choices], CLASSES)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if "nano" in name else pytest.mark.slow)
        for name in (*registry.names(), *space_names())
    ],
)
def network(request) -> tuple[str, GaitNetwork]:
    return request.param, build(request.param)


def silhouettes(model: GaitNetwork, sequences: int = 4, frames: int = FRAMES) -> torch.Tensor:
    noise = torch.rand(sequences, frames, *model.size, generator=torch.Generator().manual_seed(1))
    return (noise > 0.4).float()


def gap(ours: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((ours - wanted).abs().max() / wanted.abs().max())


@torch.no_grad()
def test_shapes_and_determinism(network):
    _, model = network
    x = silhouettes(model)
    first, second = model.eval()(x), model(x)
    n, _, parts = first.embeddings.shape
    assert n == 4 and first.embeddings.dtype == torch.float32
    # A network may classify all parts at once.
    assert first.logits.shape[:2] == (4, CLASSES) and first.logits.shape[2] in (1, parts)
    assert torch.equal(first.embeddings, second.embeddings)
    assert torch.equal(first.logits, second.logits)


@torch.no_grad()
def test_a_padded_batch_gives_what_each_sequence_gives(network):
    _, model = network
    x, lengths = silhouettes(model), torch.tensor([FRAMES, 5, 2, 1])
    together = model.eval()(x, lengths).embeddings
    for row, length in enumerate(lengths.tolist()):
        alone = model(x[row : row + 1, :length]).embeddings[0]
        assert gap(together[row], alone) <= 1e-5, f"{length} frames"


@torch.no_grad()
def test_what_stands_in_the_padding_changes_nothing_in_training(network):
    _, model = network
    x, lengths = silhouettes(model), torch.tensor([FRAMES, 5, 4, 3])
    other = x.clone()
    for row, length in enumerate(lengths.tolist()):
        other[row, length:] = 0.5
    outputs, statistics = [], []
    for batch in (x, other):
        twin = copy.deepcopy(model).train()
        torch.manual_seed(0)  # for dropout
        outputs.append(twin(batch, lengths))
        statistics.append({k: v for k, v in twin.state_dict().items() if "running" in k})
    assert gap(*(output.embeddings for output in outputs)) <= 1e-5
    assert gap(*(output.logits for output in outputs)) <= 1e-5
    for key, value in statistics[0].items():
        torch.testing.assert_close(statistics[1][key], value, rtol=1e-5, atol=1e-6, msg=key)


def test_the_gradient_reaches_every_parameter(network):
    name, model = network
    twin = copy.deepcopy(model).train()
    output = twin(silhouettes(model), torch.tensor([FRAMES, 5, 4, 3]))
    # Weighted, since a sum over normalised features is constant.
    weights = [torch.randn_like(part) for part in output]
    sum((part * weight).sum() for part, weight in zip(output, weights, strict=True)).backward()
    family = next((key for key in WITHOUT_GRADIENT if name.startswith(key)), None)
    spared = {
        key for key in WITHOUT_GRADIENT.get(family, ()) if key in dict(twin.named_parameters())
    }
    without = {k for k, p in twin.named_parameters() if p.grad is None or not p.grad.any()}
    assert without == spared
    assert all(p.grad.isfinite().all() for p in twin.parameters() if p.grad is not None)


@torch.no_grad()
def test_the_state_dict_goes_round(network):
    name, model = network
    torch.manual_seed(1)
    twin = build(name)
    for parameter in twin.parameters():
        parameter.fill_(0.5)
    twin.load_state_dict(model.state_dict())
    x = silhouettes(model, 2)
    assert torch.equal(model.eval()(x).embeddings, twin.eval()(x).embeddings)


@torch.no_grad()
def test_arithmetic(network):
    """Float64 tells the same; bfloat16 runs and is near."""
    _, model = network
    x = silhouettes(model, 2)
    wanted = copy.deepcopy(model).eval().double()(x.double()).embeddings
    single = model.eval()(x).embeddings
    assert gap(single.double(), wanted) <= 1e-4
    with torch.autocast("cpu", torch.bfloat16):
        half = model(x)
    assert half.embeddings.isfinite().all() and half.logits.isfinite().all()
    cosine = torch.cosine_similarity(half.embeddings.flatten(1), single.flatten(1))
    assert cosine.min() > 0.98


def test_bfloat16_trains(network):
    _, model = network
    twin = copy.deepcopy(model).train()
    with torch.autocast("cpu", torch.bfloat16):
        output = twin(silhouettes(model), torch.tensor([FRAMES, 5, 4, 3]))
    output.logits.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in twin.parameters() if p.grad is not None)


def test_the_profile_counts_its_parameters(network):
    _, model = network
    found = profile(model)
    assert found.params_with_classes == count_params(model)
    neck = 0 if model.neck is None else count_params(model.neck)
    assert found.params == count_params(model) - neck
    assert found.macs > 0 and found.frames == model.frames
