"""Losses against the published ones, brute force, and two processes."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed, multiprocessing

from nasgait.config.schema import CrossEntropyConfig, LossConfig, TripletConfig
from nasgait.errors import ConfigError
from nasgait.nn.losses import GaitLoss, cross_entropy, triplet_loss
from nasgait.nn.output import GaitOutput

TRIPLETS = [f"triplet_{i}_m{m}" for i in range(3) for m in (0.2, 0.05)]
TRIPLETS += ["triplet_allzero", "triplet_partzero", "triplet_identical"]
ENTROPIES = [
    f"ce_{i}_s{s}_{kind}" for i in (0, 1) for s in (1, 16, 30) for kind in ("smooth", "hard")
]


@pytest.fixture(scope="module", params=["losses", "losses_sposgait"])
def published(request, shared):
    return dict(np.load(shared / "reference" / f"{request.param}.npz"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", TRIPLETS)
def test_triplet_loss_is_the_published_one(published, case, dtype):
    embeddings = torch.tensor(published[f"{case}/in_embeddings"], dtype=dtype, requires_grad=True)
    margin = float(case.partition("_m")[2] or 0.2)
    result = triplet_loss(embeddings, torch.tensor(published[f"{case}/in_labels"]), margin)
    result.loss.mean().backward()

    def close(ours, name, atol=1e-5):
        np.testing.assert_allclose(ours.detach(), published[f"{case}/{name}"], atol=atol, rtol=1e-5)

    close(result.loss, "value")
    close(embeddings.grad, "grad_embeddings")
    close(result.hard, "info_hard_loss")
    close(result.nonzero, "info_loss_num", atol=0)
    # Theirs has rounding noise where ours has the zero distance of a sample to itself.
    close(result.distance, "info_mean_dist", atol=3e-3)


def test_unequal_counts_are_the_published_ones(shared):
    stored = np.load(shared / "reference" / "losses_hstl.npz")
    embeddings = torch.tensor(stored["triplet_unequal/in_embeddings"]).permute(0, 2, 1)
    embeddings.requires_grad_()
    loss = triplet_loss(embeddings, torch.tensor(stored["triplet_unequal/in_labels"]), 0.2).loss
    loss.mean().backward()
    np.testing.assert_allclose(loss.detach(), stored["triplet_unequal/value"], atol=1e-5)
    gradient = stored["triplet_unequal/grad_embeddings"].transpose(0, 2, 1)
    np.testing.assert_allclose(embeddings.grad, gradient, atol=1e-5)


@pytest.mark.parametrize("case", ENTROPIES)
def test_cross_entropy_is_the_published_one(published, case):
    logits = torch.tensor(published[f"{case}/in_logits"], requires_grad=True)
    scale = float(case.split("_")[2][1:])
    smoothing = 0.1 if case.endswith("smooth") else 0.0
    labels = torch.tensor(published[f"{case}/in_labels"])
    losses, accuracy = cross_entropy(logits, labels, scale, smoothing)
    losses.mean().backward()
    value = published[f"{case}/value"]
    ours = losses.detach() if value.ndim else losses.detach().mean()
    np.testing.assert_allclose(ours, value, rtol=1e-5)
    np.testing.assert_allclose(logits.grad, published[f"{case}/grad_logits"], atol=1e-5)
    np.testing.assert_allclose(accuracy, published[f"{case}/info_accuracy"], atol=1e-6)


def brute_force(embeddings, labels, margin):
    """Mean of the positive losses over (anchor, positive, negative), per part."""
    means = []
    for part in np.moveaxis(embeddings, 2, 0):
        losses = [
            np.linalg.norm(part[a] - part[p]) - np.linalg.norm(part[a] - part[n]) + margin
            for a, p, n in itertools.product(range(len(labels)), repeat=3)
            if labels[a] == labels[p] and labels[a] != labels[n]
        ]
        positive = [loss for loss in losses if loss > 0]
        means.append(np.mean(positive) if positive else 0.0)
    return means


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(0, 1000))
def test_any_labels_give_the_brute_force_loss(labels, seed):
    embeddings = np.random.default_rng(seed).standard_normal((len(labels), 3, 2)) + 5
    result = triplet_loss(torch.tensor(embeddings), torch.tensor(labels), 0.3)
    np.testing.assert_allclose(result.loss, brute_force(embeddings, labels, 0.3), atol=1e-9)


def test_triplet_gradient_in_float64():
    embeddings = torch.randn(5, 3, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    labels = torch.tensor([0, 1, 0, 2, 1])
    embeddings.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: triplet_loss(x, labels, 1.0).loss, embeddings)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 1, 1]])
def test_equal_embeddings_have_finite_gradients(labels):
    embeddings = torch.ones(4, 3, 2, requires_grad=True)
    triplet_loss(embeddings, torch.tensor(labels), 0.2).loss.sum().backward()
    assert torch.isfinite(embeddings.grad).all()


def test_arithmetic_is_float32_inside_autocast():
    generator = torch.manual_seed(0)
    embeddings = torch.randn(8, 16, 2, generator=generator)
    logits = torch.randn(8, 5, 2, generator=generator)
    labels = torch.arange(8) // 2
    loss = GaitLoss(LossConfig(cross_entropy=CrossEntropyConfig(weight=1.0)))
    plain, _ = loss(GaitOutput(embeddings, logits), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, _ = loss(GaitOutput(embeddings, logits), labels)
        narrow, _ = loss(GaitOutput(embeddings.bfloat16(), logits.bfloat16()), labels)
    assert inside.dtype == narrow.dtype == torch.float32
    assert torch.equal(plain, inside)
    torch.testing.assert_close(plain, narrow, rtol=0.02, atol=0)


def test_the_sum_is_weighted_and_the_figures_detached():
    config = LossConfig(
        TripletConfig(weight=0.5, margin=0.3),
        CrossEntropyConfig(weight=2.0, scale=4.0, label_smoothing=0.1),
    )
    embeddings = torch.randn(6, 4, 3, requires_grad=True)
    logits = torch.randn(6, 5, 3, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 4, 4])
    total, figures = GaitLoss(config)(GaitOutput(embeddings, logits), labels)
    triplet = triplet_loss(embeddings, labels, 0.3).loss.mean()
    entropy = cross_entropy(logits, labels, 4.0, 0.1)[0].mean()
    torch.testing.assert_close(total, 0.5 * triplet + 2 * entropy)
    assert set(figures) == {
        "triplet",
        "triplet_hard",
        "triplet_nonzero",
        "distance",
        "cross_entropy",
        "accuracy",
    }
    assert all(value.ndim == 0 and not value.requires_grad for value in figures.values())
    total.backward()
    assert embeddings.grad is not None and logits.grad is not None


def test_terms_without_weight_are_left_out():
    output = GaitOutput(torch.randn(4, 3, 2), None)
    _, figures = GaitLoss(LossConfig())(output, torch.tensor([0, 0, 1, 1]))
    assert "cross_entropy" not in figures


def test_wrong_configurations():
    with pytest.raises(ConfigError, match="weights of triplet and cross_entropy are both 0"):
        GaitLoss(LossConfig(TripletConfig(weight=0.0)))
    loss = GaitLoss(LossConfig(cross_entropy=CrossEntropyConfig(weight=1.0)))
    with pytest.raises(ConfigError, match="without classes"):
        loss(GaitOutput(torch.randn(4, 3, 2), None), torch.tensor([0, 0, 1, 1]))


def training_step(start, stop):
    """Total loss and gradient of a small network on samples start to stop of a fixed batch."""
    generator = torch.manual_seed(3)
    x = torch.randn(8, 6, generator=generator)
    weight = torch.randn(6, 10, generator=generator, requires_grad=True)
    labels = torch.arange(8) // 2
    hidden = x[start:stop] @ weight
    output = GaitOutput(hidden.view(-1, 5, 2), torch.tanh(hidden).view(-1, 5, 2))
    loss = GaitLoss(LossConfig(cross_entropy=CrossEntropyConfig(weight=0.5)))
    total, figures = loss(output, labels[start:stop])
    total.backward()
    return figures["triplet"], weight.grad


def rank_step(rank, init, folder):
    distributed.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    triplet, gradient = training_step(4 * rank, 4 * rank + 4)
    distributed.all_reduce(gradient)
    torch.save((triplet, gradient / 2), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_ranks_give_the_gradient_of_one_process(tmp_path):
    init = f"file://{tmp_path}/meet"
    multiprocessing.spawn(rank_step, args=(init, tmp_path), nprocs=2)
    triplet, gradient = training_step(0, 8)
    for rank in range(2):
        ranked_triplet, ranked_gradient = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(ranked_triplet, triplet, atol=1e-6, rtol=0)
        torch.testing.assert_close(ranked_gradient, gradient, atol=1e-6, rtol=0)
