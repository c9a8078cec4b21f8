"""The switches of GaitSet that the BNNeck study turns."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasgait.baselines.registry import build
from nasgait.config.load import load_config
from nasgait.core.errors import ConfigError
from nasgait.nn.norm import BatchNorm
from retrain.networks import FinalNetwork


def batch(n=4, frames=5):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(n, frames, 32, 22, generator=generator), torch.tensor([5, 3, 1, 4])


def network(seed=0, classes=6, **settings):
    torch.manual_seed(seed)
    model = build("gaitset-nano", classes, **settings)
    if model.neck is not None:  # statistics that say something
        with torch.no_grad():
            model.neck.norm.running_mean.normal_(0, 0.1)
            model.neck.norm.running_var.uniform_(0.5, 2)
    return model


def test_after_the_neck_is_batchnorm_of_before():
    x, lengths = batch()
    before, after = network().eval(), network(after_neck=True).eval()
    with torch.no_grad():
        ours, plain = after(x, lengths), before(x, lengths)
    norm = after.neck.norm
    by_hand = F.batch_norm(
        plain.embeddings.flatten(1), norm.running_mean, norm.running_var, norm.weight, norm.bias
    ).view_as(plain.embeddings)
    torch.testing.assert_close(ours.embeddings, by_hand)
    torch.testing.assert_close(ours.logits, plain.logits)


def test_training_takes_triplets_before_the_neck_either_way():
    x, lengths = batch()
    first, second = network().train(), network(after_neck=True).train()
    for mine, theirs in zip(first(x, lengths), second(x, lengths), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_after_the_neck_padding_changes_nothing():
    x, lengths = batch()
    model = network(after_neck=True).eval()
    with torch.no_grad():
        whole = model(x, lengths).embeddings
        for row, length in enumerate(lengths.tolist()):
            alone = model(x[row : row + 1, :length]).embeddings
            torch.testing.assert_close(whole[row : row + 1], alone, rtol=0, atol=1e-5)


def test_without_classes_it_is_the_embedding_network_alone():
    assert build("gaitset-nano", after_neck=True).needs_neck
    with torch.no_grad():
        output = network(classes=None, after_neck=True).eval()(*batch())
    assert output.logits is None and output.embeddings.shape == (4, 64, 30)


def test_a_neck_without_bias_keeps_it_at_zero():
    model = network(neck_bias=False).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9, weight_decay=0.1)
    before = model.neck.norm.weight.detach().clone()
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(
            16 * model(*batch()).logits, torch.arange(4)[:, None].expand(4, 30)
        ).backward()
        optimizer.step()
    assert not model.neck.norm.bias.any() and not model.neck.norm.bias.requires_grad
    assert not torch.equal(before, model.neck.norm.weight)
    assert network().neck.norm.bias.requires_grad


def test_relu_follows_every_convolution():
    def by_hook(activation):
        model, seen = network(activation=activation).eval(), []
        model.block1.register_forward_hook(lambda *call: seen.append(call[2]))
        with torch.no_grad():
            model(*batch())
        return seen[0]

    assert (by_hook("relu") >= 0).all() and (by_hook("leaky-relu") < 0).any()


@pytest.mark.parametrize(
    ("initial", "spread"),
    [
        ("xavier", lambda w: (2 / (w.shape[0] + w.shape[1]) / 9) ** 0.5),
        ("kaiming", lambda w: (2 / w.shape[0] / 9) ** 0.5),
        ("normal", lambda w: 0.001),
    ],
)
def test_initial_weights(initial, spread):
    weights = [m.weight for m in network(initial=initial).modules() if isinstance(m, nn.Conv2d)]
    weight = next(w for w in weights if w.shape[:2] == (48, 48))
    assert weight.std().item() == pytest.approx(spread(weight), rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "gelu"}, "leaky-relu, relu"),
        ({"initial": "zero"}, "xavier, kaiming, normal"),
    ],
)
def test_unknown_choices_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build("gaitset-nano", **settings)


def test_the_study_turns_each_switch_once():
    """Every network but the first differs from it in one thing, or in how it is evaluated."""
    config = load_config("bnneck-study")
    first, *others = config.baselines
    recipe, evaluation = config.retrain, config.evaluation
    assert config.space is None and config.seeds == 3 and first.recipe is None
    turned = {}
    for other in others:
        settings = {k: v for k, v in other.settings.items() if v != first.settings[k]}
        assert set(other.settings) == set(first.settings)
        assert other.recipe is None, "overrides of retrain reach all of them"
        _, own = FinalNetwork("x", "baseline", None, other.model, other.title).recipe(config)
        parts = {
            key: getattr(own, key)
            for key in vars(recipe)
            if getattr(own, key) != getattr(recipe, key)
        }
        metric = {"metric": other.evaluation.metric} if other.evaluation else {}
        turned[other.title] = settings | parts | metric
        assert (other.evaluation or evaluation).gallery_ids == evaluation.gallery_ids
    assert turned.pop("after-cosine") == {"after_neck": True, "metric": "cos"}
    assert all(len(changes) == 1 for changes in turned.values()), turned
    assert turned["cross-entropy-0.1"]["loss"].cross_entropy.weight == 0.1
    assert turned["no-neck"]["loss"].cross_entropy.weight == 0
    assert len(turned) == 11 and {m.model for m in config.baselines} == {"gaitset-nano"}
    assert isinstance(build("gaitset-nano", 3, **first.settings).neck.norm, BatchNorm)
