"""GaitSet and GaitBase against the recorded outputs of OpenGait, and the registry."""

import pytest
import torch
from reference_cases import Case, check_gradients, check_outputs, check_training, close

from nasgait.baselines.gaitbase import GaitBase
from nasgait.baselines.gaitset import GaitSet
from nasgait.baselines.registry import build, names
from nasgait.errors import ConfigError


def gaitset_name(key: str) -> str:
    part, *rest = key.split(".")
    if part == "fcs":
        return "Head.fc_bin"
    position = {"conv1": "0", "conv2": "2"}[rest[0]]
    stage = part[-1]
    if part.startswith("global"):
        return f"gl_block{stage}.{position}.conv.weight"
    return f"set_block{stage}.forward_block.{position}.conv.weight"


def gaitbase_name(key: str) -> str:
    part, *rest = key.split(".")
    if part in ("fcs", "neck"):
        name = {"fcs": "FCs", "neck": "BNNecks"}[part]
        return ".".join([name, *["bn1d" if word == "norm" else word for word in rest]])
    if part == "stages":
        return ".".join(["Backbone.forward_block", f"layer{int(rest[0]) + 1}", *rest[1:]])
    return f"Backbone.forward_block.{part}." + ("conv." if part == "conv1" else "") + rest[0]


def load(shared, name):
    case = Case.load(shared / "reference", name)
    if name == "gaitset":
        model, mapping = GaitSet(), gaitset_name
    else:
        config = case.config["model_cfg"]
        backbone = config["backbone_cfg"]
        model = GaitBase(
            backbone["channels"],
            backbone["layers"],
            backbone["strides"],
            backbone["maxpool"],
            embedding=config["SeparateFCs"]["out_channels"],
            num_classes=config["SeparateBNNecks"]["class_num"],
        )
        mapping = gaitbase_name
    case.fill(model, mapping)
    assert {mapping(key) for key in model.state_dict()} == set(case.table)
    return case, model, mapping


CASES = [
    "gaitset",
    "gaitbase_small_maxpool",
    pytest.param("gaitbase_casiab", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_the_published_ones(name, shared):
    case, model, _ = load(shared, name)
    check_outputs(case, model)
    check_training(case, model)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_the_published_ones(name, shared):
    check_gradients(*load(shared, name))


@pytest.mark.parametrize("name", CASES)
def test_padded_batch_equals_the_published_packed_one(name, shared):
    """Also in training: BatchNorm then sees the packed frames and nothing else."""
    case, model, _ = load(shared, name)
    lengths = torch.from_numpy(case.arrays["seqL_packed"]).long()
    packed = case.silhouettes("x_packed")[0]
    padded = torch.rand(len(lengths), int(lengths.max()), *packed.shape[1:])
    for row, frames in enumerate(packed.split(lengths.tolist())):
        padded[row, : len(frames)] = frames
    with torch.no_grad():
        output = model.eval()(padded, lengths)
        close(output.embeddings, case.arrays["emb_packed_eval"], 2e-5)
        if "emb_packed_train" in case.arrays:
            output = model.train()(padded, lengths)
            close(output.embeddings, case.arrays["emb_packed_train"], 2e-5)
            close(output.logits, case.arrays["logits_packed_train"], 2e-5)


@pytest.mark.parametrize("name", [name for name in names() if name.endswith("nano")])
def test_nano_baselines_train_and_embed_padded_batches(name):
    torch.manual_seed(0)
    model = build(name, 4)
    model(torch.rand(4, 6, *model.size)).logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
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
    assert output.embeddings.shape[2] == output.logits.shape[2]


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ConfigError, match=r"did you mean 'gaitset'.*gaitbase-nano"):
        build("gaitse")
