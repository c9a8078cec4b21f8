"""Published networks give the published numbers, loaded through the published configs."""

import numpy as np
import pytest
import torch
from cases import BATCH_LOGITS, DOUBLE, SINGLE, Case, close, names, wide
from reference import needs_reference

from nasgait.compat import opengait
from nasgait.compat.published import published_name
from nasgait.nn import losses

pytestmark = needs_reference
PACK_LEAKS = ("3d", "p3d")
"""DeepGaitV2's modes whose temporal convolutions run over the joints of a pack."""
NECK = 1e-4
"""For logits in training, float32: the neck's BatchNorm divides by the spread of four samples,
which makes rounding 25 times larger (and the published network's own gap to float64 1e-5)."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.slow if wide(n) else ()) for n in names()],
)
def case(request) -> Case:
    return Case.load(request.param)


def hold(case: Case, output, kind: str, tolerance: float, logits: float | None = None) -> None:
    """Compare with what was recorded of this kind; at least one of the two was."""
    found = [key for key in ("emb", "logits") if f"{key}_{kind}" in case.arrays]
    assert found, kind
    if "emb" in found:
        close(output.embeddings, case.arrays[f"emb_{kind}"], tolerance)
    if "logits" in found:
        close(output.logits, case.arrays[f"logits_{kind}"], NECK if "train" in kind else tolerance)


@torch.no_grad()
def test_embeddings_and_logits(case):
    model = case.model()
    assert sum(p.numel() for p in model.parameters()) == case.parameters
    for kind in ("eval", "long", "t1", "t2"):
        if f"x_{kind}" in case.arrays:
            hold(case, case.runs(model)(case.silhouettes(f"x_{kind}")), kind, SINGLE)
    rows = len(case.arrays["emb_eval_f64"])
    model.double()
    output = case.runs(model)(case.silhouettes("x_eval")[:rows].double())
    close(output.embeddings, case.arrays["emb_eval_f64"], DOUBLE)


@torch.no_grad()
def test_training_mode(case):
    model = case.model().train()
    x = case.silhouettes("x_train")
    hold(case, case.runs(model)(x), "train", SINGLE, logits=BATCH_LOGITS)
    model = case.model().double().train()
    output = case.runs(model)(x.double())
    if "emb_train_f64" in case.arrays:
        close(output.embeddings, case.arrays["emb_train_f64"], DOUBLE)
    if "logits_train_f64" in case.arrays:
        close(output.logits, case.arrays["logits_train_f64"], DOUBLE)
    ours, state = case.ours(), model.state_dict()
    for name, norm in case.facts["bn_after_train"].items():
        found = float(state[ours[name]].double().norm())
        assert found == pytest.approx(norm, rel=1e-5), name


def with_noise(x: torch.Tensor) -> torch.Tensor:
    """Distances [p, n, n] as published: in float32, that of a sample to itself included.

    It is the root of rounding noise, 0.002 and more, where ours is 0; in ``hstl_casiab`` that
    decides whether a triplet violates the margin: one counts there that does not exist without
    the noise.  Its recorded total, 2.902962, is 1e-5 from ours with this noise and 1.9e-4 with
    our exact zeros, so the record cannot be met by the right distance.  The distance alone is
    the record's here; network, loss and tolerances are those of every other case.
    """
    x = x.float()
    square = x.square().sum(2)
    return (square[:, :, None] + square[:, None, :] - 2 * x @ x.transpose(1, 2)).relu().sqrt()


def test_loss_and_gradients(case, monkeypatch):
    monkeypatch.setattr(losses, "pairwise", with_noise)
    model = case.model().double().train()
    labels = torch.from_numpy(case.arrays["lab_train"])
    total, _ = case.loss()(case.runs(model)(case.silhouettes("x_train").double()), labels)
    assert float(total.detach()) == pytest.approx(case.facts["train_loss"]["total"], rel=1e-4)
    total.backward()
    ours, wanted = case.ours(), case.facts["train_grad_norm"]
    published = {our: name for name, our in ours.items()}
    largest = max(wanted.values())
    for name, parameter in model.named_parameters():
        norm = wanted.get(published[name])
        if norm is None:
            assert parameter.grad is None or not parameter.grad.any(), f"{name} had no gradient"
            continue
        found = float(parameter.grad.norm())
        assert abs(found - norm) <= 2e-3 * norm + 1e-6 * largest, f"{name}: {found}, not {norm}"


@torch.no_grad()
def test_padded_batch_equals_the_published_packed_one(case):
    """In training, too: BatchNorm then sees the packed frames and nothing else."""
    leaks = case.config["model_cfg"].get("Backbone", {}).get("mode") in PACK_LEAKS
    if "emb_packed_eval" not in case.arrays or leaks:
        return  # the reference takes no pack, or lets neighbours in it leak into each other
    lengths = torch.from_numpy(case.arrays["seqL_packed"]).long()
    packed = case.silhouettes("x_packed")[0]
    padded = torch.rand(len(lengths), int(lengths.max()), *packed.shape[1:])
    for row, frames in enumerate(packed.split(lengths.tolist())):
        padded[row, : len(frames)] = frames
    model = case.model()
    hold(case, model(padded, lengths), "packed_eval", SINGLE)
    if "emb_packed_train" in case.arrays:
        hold(case, model.train()(padded, lengths), "packed_train", SINGLE, logits=BATCH_LOGITS)


@torch.no_grad()
def test_padding_changes_nothing(case):
    model = case.runs(case.model())
    x = case.silhouettes("x_eval")[:1]
    frames = x.shape[1]
    batch = torch.rand(3, frames + 3, *x.shape[2:], generator=torch.Generator().manual_seed(0))
    batch[0, :frames], batch[1, : frames - 2] = x[0], x[0, : frames - 2]
    together = model(batch, torch.tensor([frames, frames - 2, frames + 3])).embeddings
    for row, alone in enumerate((x, x[:, :-2])):
        wanted = model(alone).embeddings[0]
        gap = (together[row] - wanted).abs().max() / wanted.abs().max()
        assert gap <= 1e-5, f"row {row}: {gap:.1e}"


def test_float64_weights_make_a_float64_network(case):
    if wide(case.name):
        return
    state = {k: v.double() if v.is_floating_point() else v for k, v in case.state.items()}
    model = opengait.load(case.config, state, case.variant)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert not np.isnan(next(model.parameters()).detach().numpy()).any()


def test_missing_weights_are_called_as_published(case):
    rules = opengait.read(case.config, case.state, case.variant).rules
    for published, ours in case.ours().items():
        assert published_name(ours, rules) == published
