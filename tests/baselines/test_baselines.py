"""The registry of hand-designed networks."""

import pytest
import torch

from nasgait.baselines.registry import build, names
from nasgait.core.errors import ConfigError


@pytest.mark.parametrize("name", [name for name in names() if name.endswith("nano")])
def test_nano_baselines_train_and_embed_padded_batches(name):
    torch.manual_seed(0)
    model = build(name, 4)
    model(torch.rand(4, 6, *model.size)).logits.square().mean().backward()
    learning = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)
    model.eval()
    lengths = torch.tensor([1, 6, 3])
    x = torch.rand(3, 6, *model.size)
    with torch.no_grad():
        together = model(x, lengths)
        for row, length in enumerate(lengths):
            alone = model(x[row : row + 1, :length])
            assert (together.embeddings[row] - alone.embeddings[0]).abs().max() <= 1e-5


@pytest.mark.parametrize("name", names())
def test_every_name_builds_with_and_without_classes(name):
    with torch.device("meta"):
        assert build(name).neck is None
        output = build(name, 5).eval()(torch.zeros(2, 3, *build(name).size))
    assert output.logits.shape[1] == 5
    # GLN classifies all parts at once.
    assert output.logits.shape[2] in (1, output.embeddings.shape[2])


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ConfigError, match=r"did you mean 'gaitset'.*gaitbase-nano"):
        build("gaitse")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gaitset-nano", {"bins": (3,)}),
        ("gaitset-nano", {"size": (30, 22)}),
        ("gaitset-nano", {"embedding": 0}),
        ("gaitbase-nano", {"size": 32}),
        ("gaitpart-nano", {"frames": 0}),
        ("gaitgl-nano", {"strips": 0}),
        ("gaitgl-nano", {"layers": 0}),
        ("hstl-nano", {"stem": ()}),
        ("hstl-nano", {"size": {}}),
    ],
)
def test_settings_that_no_network_can_have_are_refused_before_training(name, settings):
    with pytest.raises(ConfigError, match=f"model '{name}': cannot be built with") as refused:
        build(name, 4, **settings)
    assert "\n" not in str(refused.value)
