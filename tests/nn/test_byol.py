"""BYOL: loss, target, views, what learns and what does not, any network."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasgait.baselines.registry import build, names
from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork
from nasgait.nn.byol import (
    BYOL,
    BYOLOutput,
    ProjectionHead,
    RegressionLoss,
    embedding_shape,
    regression_loss,
)
from nasgait.nn.freeze import freeze_backbone
from nasgait.nn.norm import BatchNorm
from search_spaces import load_space

NANO = [name for name in names() if name.endswith("nano")]


def views(model, sequences=3, frames=5) -> Tensor:
    return torch.rand(2 * sequences, frames, *model.size)


@pytest.mark.parametrize(("cosine", "axis"), [("parts", 2), ("channels", 1)])
def test_loss_against_its_definition(cosine, axis):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 5, 3))
    norms = [np.sqrt((z**2).sum(axis)) for z in (x, y)]
    wanted = 1 - (x * y).sum(axis) / (norms[0] * norms[1])
    found = regression_loss(torch.from_numpy(x), torch.from_numpy(y), cosine)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)
    both = BYOLOutput((torch.from_numpy(x),) * 2, (torch.from_numpy(y),) * 2)
    loss, _ = RegressionLoss(cosine)(both, torch.zeros(4))
    assert float(loss) == pytest.approx(2 * wanted.mean())


@pytest.mark.parametrize("cosine", ["parts", "channels"])
def test_spread_tells_collapse(cosine):
    same = torch.rand(1, 6, 4).expand(50, 6, 4)
    apart = torch.randn(50, 6, 4)
    for targets, low, high in ((same, 0, 1e-3), (apart, 0.95, 1.0)):
        _, metrics = RegressionLoss(cosine)(
            BYOLOutput((apart,) * 2, (targets,) * 2), torch.zeros(50)
        )
        assert low <= float(metrics["spread"]) <= high


def test_projection_shares_its_layers_over_parts():
    """As linear layers over the rows of [n * p, c], BatchNorm over all of them."""
    torch.manual_seed(0)
    head = ProjectionHead(6, 8, 4).double()
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    plain = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)).double()
    for layer, ours in ((0, head.expand), (3, head.contract)):
        plain[layer].weight.data, plain[layer].bias.data = ours.weight[..., 0], ours.bias
    wanted = plain(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (5, 3)).transpose(1, 2)
    torch.testing.assert_close(head(x), wanted)
    torch.testing.assert_close(head.norm.running_var, plain[1].running_var)


def test_a_norm_for_each_part_is_one_over_the_batch_alone():
    torch.manual_seed(0)
    head = ProjectionHead(6, 8, 4, parts=3).double()
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    for part in range(3):
        y = x[..., part] @ head.expand.weight[..., 0].T + head.expand.bias
        y = (y - y.mean(0)) / (y.var(0, correction=0) + head.norm.eps).sqrt()
        wanted = y.relu() @ head.contract.weight[..., 0].T + head.contract.bias
        torch.testing.assert_close(head(x)[..., part], wanted)


def test_what_all_sequences_share_does_not_hide_how_they_differ():
    """Parts far apart, sequences close together: the shared norm sees the parts alone."""
    torch.manual_seed(0)
    model = build("gaitset-nano")
    embeddings = torch.randn(32, 64, 30) + 10 * torch.randn(1, 64, 30)
    spreads = {}
    for norm in ("shared", "parts"):
        learner = BYOL(model, norm=norm)
        aims = learner.target_projector(embeddings)
        _, metrics = RegressionLoss("channels")(
            BYOLOutput((aims,) * 2, (aims,) * 2), torch.zeros(32)
        )
        spreads[norm] = float(metrics["spread"])
        apart = learner.target_projector(embeddings + 10 * torch.randn(1, 64, 30)) - aims
        assert (float(apart.detach().abs().max()) < 1e-3) == (norm == "parts")
    assert spreads["parts"] > 0.7 and spreads["shared"] < 0.2


def test_views_stand_side_by_side_and_targets_are_crossed():
    torch.manual_seed(0)
    model = build("gaitset-nano")
    learner = BYOL(model).eval()
    x = views(model)
    first, second = x[0::2], x[1::2]
    with torch.no_grad():
        found = learner(x)
        torch.testing.assert_close(found.predictions[0], learner.predict(first))
        torch.testing.assert_close(found.targets[0], learner.project_target(second))
        torch.testing.assert_close(found.targets[1], learner.project_target(first))
    lengths = torch.tensor([5, 3, 2, 5, 4, 1])
    with torch.no_grad():
        padded = learner(x, lengths)
        alone = learner.predict(x[2:3, :2])
    torch.testing.assert_close(padded.predictions[0][1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NANO)
@pytest.mark.parametrize("norm", ["shared", "parts"])
def test_any_baseline_learns_and_its_target_follows(name, norm):
    torch.manual_seed(0)
    model = build(name)
    learn(BYOL(model, hidden=16, projection=8, momentum=0.75, norm=norm), model)


def test_subnets_learn_too():
    torch.manual_seed(0)
    space = load_space("nano")
    model = space.build(space.parse("nano:0-5-2-4"))
    learn(BYOL(model, hidden=16, projection=8, momentum=0.75), model)


def learn(learner: BYOL, model: nn.Module) -> None:
    """One step: gradients on the online side alone, then the target moves by a quarter."""
    trained = {name for name, p in learner.named_parameters() if p.requires_grad}
    assert not any(name.startswith("target") for name in trained)
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1)
    # Four sequences of twelve frames: enough to pass every stride in time.
    loss, _ = RegressionLoss()(learner(views(model, 4, 12)), torch.zeros(4))
    loss.backward()
    for name, parameter in learner.named_parameters():
        has = parameter.grad is not None and bool(parameter.grad.isfinite().all())
        assert has == (name in trained), name
    optimizer.step()
    before = {name: p.clone() for name, p in learner.target.named_parameters()}
    learner.update_target()
    online = dict(learner.online.named_parameters())
    for name, parameter in learner.target.named_parameters():
        torch.testing.assert_close(parameter.data, 0.75 * before[name] + 0.25 * online[name].data)


def test_the_neck_is_no_part_of_the_target():
    model = build("gaitset-nano", num_classes=5)
    learner = BYOL(model)
    assert learner.target.neck is None and model.neck is not None
    assert embedding_shape(model) == (64, 30)


def test_bfloat16_runs_and_heads_stay_wide():
    torch.manual_seed(0)
    model = build("selfgait-nano")
    learner = BYOL(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = learner(views(model))
    assert {t.dtype for pair in found for t in pair} == {torch.float32}


@pytest.mark.parametrize("name", NANO)
def test_freezing_leaves_the_head_alone(name):
    torch.manual_seed(0)
    model = build(name, 4)
    freeze_backbone(model)
    model.train()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    assert {key.split(".")[0] for key in trained} >= {"neck"}
    assert 0 < len(trained) < len(list(model.parameters()))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    output = model(torch.rand(4, 12, *model.size))
    (output.logits.square().mean() + output.embeddings.square().mean()).backward()
    optimizer.step()
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, state[key])}
    assert trained <= moved
    assert all(key in trained or key.startswith("neck.") for key in moved), moved - trained


def test_freezing_needs_a_head():
    model = GaitNetwork()
    model.body, model.neck = nn.Sequential(nn.Conv2d(1, 2, 3), BatchNorm(2)), None
    with pytest.raises(ConfigError, match="no linear head"):
        freeze_backbone(model)
