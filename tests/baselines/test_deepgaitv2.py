"""DeepGaitV2: no sequence sees its neighbour, in any mode; depth; its config."""

import json

import pytest
import torch
import torch.nn.functional as F

from nasgait.baselines.deepgaitv2 import BLOCKS, DeepGaitV2
from nasgait.compat import opengait
from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.nn.temporal import Clips, pack
from retrain.network_spec import load_network

MODES = list(BLOCKS)
SMALL = {"channels": (3, 4, 6, 5), "size": (32, 22), "bins": (8,)}


def small(mode, layers=(1, 2, 1, 3), **settings):
    torch.manual_seed(0)
    return DeepGaitV2(mode, layers=layers, num_classes=4, **(SMALL | settings))


@pytest.mark.parametrize("lengths", [[5, 1, 3], [4, 4, 4]])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_over_a_pack_see_each_sequence_alone(lengths, stride):
    conv = torch.nn.Conv3d(2, 3, 3, stride=(1, stride, stride), padding=1).double()
    batch = torch.rand(3, max(lengths), 6, 4, dtype=torch.float64)
    frames, valid = pack(batch, None if len(set(lengths)) == 1 else torch.tensor(lengths))
    frames = torch.cat([frames, -frames], dim=1)
    found = Clips.of(3, valid).convolve(conv, frames)
    alone = [conv(clip.transpose(0, 1)[None])[0].transpose(0, 1) for clip in frames.split(lengths)]
    torch.testing.assert_close(found, torch.cat(alone))


@pytest.mark.parametrize("mode", MODES)
def test_padded_batches_train_like_the_frames_they_hold(mode):
    """A batch of equal sequences, and the same with padding and other sequences after it."""
    model = small(mode).double().train()
    x = torch.rand(3, 6, 32, 22, dtype=torch.float64)
    wanted = model(x[:, :4])
    statistics = {k: v.clone() for k, v in model.state_dict().items()}
    model = small(mode).double().train()
    # Length 4 in a batch that is 6 long: everything is padded alike.
    found = model(x, torch.tensor([4, 4, 4]))
    torch.testing.assert_close(found.embeddings, wanted.embeddings)
    torch.testing.assert_close(found.logits, wanted.logits)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, statistics[key])


@pytest.mark.parametrize("mode", MODES)
def test_unequal_lengths_give_what_each_sequence_gives(mode):
    model = small(mode).double().eval()
    x, lengths = torch.rand(4, 7, 32, 22, dtype=torch.float64), torch.tensor([7, 1, 4, 2])
    together = model(x, lengths).embeddings
    for row, length in enumerate(lengths):
        torch.testing.assert_close(together[row], model(x[row : row + 1, :length]).embeddings[0])


def test_the_embedding_after_the_neck_is_what_is_classified():
    before, after = small("2d"), small("2d", after_neck=True)
    after.load_state_dict(before.state_dict())
    x = torch.rand(3, 2, 32, 22)
    # The triplet loss always takes the embedding before the neck.
    torch.testing.assert_close(before(x).embeddings, after(x).embeddings)
    embedding, logits = after.eval()(x)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3, 8))
    classes = F.normalize(after.neck.fc_bin, dim=1)
    torch.testing.assert_close(torch.einsum("ncp,pck->nkp", embedding, classes), logits)
    # Without classes there is no neck: the embedding network alone, which training starts from.
    bare = DeepGaitV2("2d", after_neck=True, **SMALL).eval()
    assert bare.needs_neck and bare(x).logits is None


def test_a_network_with_its_embedding_after_the_neck_is_trained(nasgait, tiny_config, tmp_path):
    """By retrain, which refuses to do so without a neck."""
    text = tiny_config.read_text()
    tiny_config.write_text(
        text + "baselines: [{model: deepgaitv2-nano, settings: {after_neck: true}}]\n"
    )
    words = ("retrain", "--config", tiny_config, "--model", "deepgaitv2-nano", "--json")
    code, stdout, err = nasgait(*words, "--out", tmp_path / "out", "retrain.steps=2")
    assert code == 0, err
    assert 0 <= json.loads(stdout)["rank1"] <= 100
    model, _ = load_network(tmp_path / "out" / "checkpoints" / "step-000002.pt")
    with torch.no_grad():
        embedding = model(torch.rand(2, 3, 32, 22)).embeddings
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2, 8))
    code, _, err = nasgait(
        *words, "--out", tmp_path / "without", "retrain.loss.cross_entropy.weight=0"
    )
    assert code == 2 and "after_neck" in err


def config(**changes):
    backbone = {"mode": "p3d", "in_channels": 1, "layers": [1, 1, 2, 1], "channels": [2, 4, 6, 8]}
    model = {
        "model": "DeepGaitV2",
        "Backbone": backbone | changes,
        "SeparateBNNecks": {"class_num": 5},
    }
    return {"data_cfg": {"dataset_name": "CCPG"}, "model_cfg": model}


def test_settings_follow_the_config():
    whole = config(mode="3d")
    whole["model_cfg"]["use_emb2"] = True
    with pytest.raises(CheckpointError, match=r"use_emb2: .* but the weights have none"):
        opengait.read(whole, {})
    settings = opengait.read(whole, {"BNNecks.fc_bin": torch.zeros(16, 6, 5)}).settings
    assert settings["mode"] == "3d" and settings["after_neck"] is True
    assert settings["layers"] == (1, 1, 2, 1) and settings["channels"] == (2, 4, 6, 8)
    assert opengait.read(config(), {}).build().fcs.fc_bin.shape == (16, 8, 6)
    with pytest.raises(
        CheckpointError, match=r"use_emb2: .* the BNNecks, but the weights have none"
    ):
        opengait.read(whole, {"FCs.fc_bin": torch.zeros(16, 8, 6)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "4d"}, "mode: '4d'; known are 2d, 3d, p3d"),
        ({"mode": ["3d"]}, "mode: .* known are 2d, 3d, p3d"),
        ({"layers": [1, 1, 1]}, r"layers: \[1, 1, 1\]; give 4 counts"),
        ({"channels": [2, 4, 6, "8"]}, "channels: .* give 4 positive integers"),
        ({"in_channels": 3}, "in_channels: 3; networks here take silhouettes"),
    ],
)
def test_a_wrong_key_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        opengait.read(config(**changes), {})


@pytest.mark.parametrize(
    "settings", [{"mode": "1d"}, {"layers": (1, 1)}, {"channels": (0, 1, 1, 1)}]
)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        DeepGaitV2(**settings)
