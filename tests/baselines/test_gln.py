"""GLN: sizes, what its compact block does and leaves alone, and its config."""

import pytest
import torch

from nasgait.baselines.registry import build
from nasgait.compat import opengait
from nasgait.core.errors import ConfigError


def small(num_classes=None, **settings):
    torch.manual_seed(0)
    narrow = {"channels": (4, 6, 8), "lateral": 6, "embedding": 5, "compact": 7}
    return build("gln", num_classes, **(narrow | settings))


@pytest.mark.parametrize(
    ("size", "bins"),
    [((128, 88), (16, 8, 4, 2, 1)), ((64, 44), (16, 8, 4, 2, 1)), ((32, 22), (8, 1))],
)
def test_all_sizes(size, bins):
    """Also widths that a pooling does not halve evenly: 22, 11, 5."""
    model = small(3, size=size, bins=bins).eval()
    with torch.no_grad():
        output = model(torch.rand(2, 3, *size))
    assert output.embeddings.shape == (2, 5, 3 * sum(bins))
    assert output.logits.shape == (2, 3, 1)


def test_the_first_gln_takes_the_published_frames():
    with torch.device("meta"):
        assert build("gln").size == (128, 88)
        assert build("gln-64x44").size == (64, 44)


def test_phase_two_adds_the_compact_block_to_phase_one():
    first, second = small().eval(), small(4).eval()
    missing, unknown = second.load_state_dict(first.state_dict(), strict=False)
    assert not unknown and all(name.startswith("neck.") for name in missing)
    x = torch.rand(3, 2, 64, 44)
    assert torch.equal(first(x).embeddings, second(x).embeddings)
    assert first(x).logits is None


def test_dropout_touches_the_logits_alone():
    model = small(4, dropout=0.5).train()
    x = torch.rand(4, 2, 64, 44)
    one, other = model(x), model(x)
    assert torch.equal(one.embeddings, other.embeddings)
    assert not torch.equal(one.logits, other.logits)


def test_the_norms_have_no_bias_to_learn():
    frozen = {name for name, p in small(4).named_parameters() if not p.requires_grad}
    assert frozen == {"neck.norm.bias", "neck.compact_norm.bias"}


def config(first=False, **changes):
    model = {
        "model": "GLN",
        "class_num": 4,
        "lateral_dim": 6,
        "hidden_dim": 5,
        "dropout": 0.9,
        "in_channels": [1, 4, 6, 8],
        "SeparateFCs": {"in_channels": 6, "out_channels": 5, "parts_num": 93},
        "bin_num": [16, 8, 4, 2, 1],
        "Lateral_pretraining": first,
    }
    return {"data_cfg": {"dataset_name": "CASIA-B"}, "model_cfg": model | changes}


def test_narrow_configs_are_read():
    second = opengait.read(config(), {})
    assert second.num_classes == 4 and second.settings["dropout"] == 0.9
    assert second.build().neck.reduce.weight.shape == (5, 93 * 5)
    # Phase 1 has neither classes nor a use for these keys.
    first = opengait.read(config(True, class_num=None, dropout=None), {})
    assert first.num_classes is None and first.build().neck is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": [1, 4, 6]}, r"in_channels: \[1, 4, 6\]; give 4 positive integers"),
        ({"in_channels": [3, 4, 6, 8]}, "silhouettes are one channel"),
        ({"hidden_dim": 6}, "hidden_dim: 6 .* does not fit the embedding; give 5"),
        ({"bin_num": [16]}, "does not fit the embedding"),
        ({"dropout": 2}, "dropout: 2; give a number in 0..1"),
        ({"Lateral_pretraining": "no"}, "Lateral_pretraining: 'no'; give true or false"),
        ({"lateral_dim": 7}, "in_channels: 6, but the layers before it give 7"),
        ({"class_num": None}, "class_num: None; give a positive integer"),
    ],
)
def test_a_wrong_key_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        opengait.read(config(**changes), {})
