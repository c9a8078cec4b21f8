"""Losses against brute force, and in two processes; published numbers: tests/reference."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed, multiprocessing

from nasgait.config.schema import (
    ContrastiveConfig,
    CrossEntropyConfig,
    LossConfig,
    TripletConfig,
)
from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitOutput
from nasgait.nn.contrastive import distance_contrastive, supervised_contrastive
from nasgait.nn.losses import GaitLoss, cross_entropy, triplet_loss


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


def contrastive_by_hand(similarity, labels):
    """Loss of each anchor with a positive, going through its positives one by one."""
    losses = {}
    for a in range(len(labels)):
        others = [j for j in range(len(labels)) if j != a]
        positives = [j for j in others if labels[j] == labels[a]]
        if positives:
            share = np.log(np.sum(np.exp(similarity[a, others])))
            losses[a] = np.mean(share - similarity[a, positives])
    return losses


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(0, 1000))
def test_any_labels_give_the_contrastive_loss_by_hand(labels, seed):
    embeddings = np.random.default_rng(seed).standard_normal((len(labels), 3, 2))
    given_ = torch.tensor(embeddings), torch.tensor(labels), 0.5
    dot, distance = supervised_contrastive(*given_), distance_contrastive(*given_)
    for part, x in enumerate(np.moveaxis(embeddings, 2, 0)):
        losses = contrastive_by_hand(x @ x.T / 0.5, labels)
        wanted = 0.5 / 0.07 * sum(losses.values()) / len(labels)
        assert dot[part].item() == pytest.approx(wanted)
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        gaps = np.linalg.norm(unit[:, None] - unit[None], axis=2)
        above = [v for v in contrastive_by_hand(-gaps / 0.5, labels).values() if v > 0]
        assert distance[part].item() == pytest.approx(np.mean(above) if above else 0, abs=1e-12)


@pytest.mark.parametrize("loss", [supervised_contrastive, distance_contrastive])
def test_contrastive_gradient_in_float64(loss):
    embeddings = torch.randn(5, 3, 2, dtype=torch.float64, generator=torch.manual_seed(0))
    labels = torch.tensor([0, 1, 0, 2, 1])
    embeddings.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, 0.5), embeddings)


@pytest.mark.parametrize("loss", [supervised_contrastive, distance_contrastive])
@pytest.mark.parametrize("labels", [[0], [0, 1], [0, 0, 1], [0, 0, 0]])
def test_contrastive_gradients_stay_finite(loss, labels):
    """Lone samples, equal samples, a temperature at which float32 exponentials underflow."""
    embeddings = torch.ones(len(labels), 3, 2)
    embeddings[-1] = -1
    embeddings.requires_grad_()
    value = loss(embeddings, torch.tensor(labels), 0.001)
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(embeddings.grad).all()


def test_arithmetic_is_float32_inside_autocast():
    generator = torch.manual_seed(0)
    embeddings = torch.randn(8, 16, 2, generator=generator)
    logits = torch.randn(8, 5, 2, generator=generator)
    labels = torch.arange(8) // 2
    contrastive = ContrastiveConfig(weight=1.0, temperature=0.1)
    loss = GaitLoss(LossConfig(TripletConfig(), CrossEntropyConfig(weight=1.0), contrastive))
    plain, _ = loss(GaitOutput(embeddings, logits), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, _ = loss(GaitOutput(embeddings, logits), labels)
        narrow, _ = loss(GaitOutput(embeddings.bfloat16(), logits.bfloat16()), labels)
    assert inside.dtype == narrow.dtype == torch.float32
    assert torch.equal(plain, inside)
    torch.testing.assert_close(plain, narrow, rtol=0.02, atol=0)


@pytest.mark.parametrize("similarity", ["cosine", "distance"])
def test_the_sum_is_weighted_and_the_metrics_detached(similarity):
    config = LossConfig(
        TripletConfig(weight=0.5, margin=0.3),
        CrossEntropyConfig(weight=2.0, scale=4.0, label_smoothing=0.1),
        ContrastiveConfig(weight=0.25, temperature=0.2, similarity=similarity),
    )
    embeddings = torch.randn(6, 4, 3, requires_grad=True)
    logits = torch.randn(6, 5, 3, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 4, 4])
    total, metrics = GaitLoss(config)(GaitOutput(embeddings, logits), labels)
    triplet = triplet_loss(embeddings, labels, 0.3).loss.mean()
    entropy = cross_entropy(logits, labels, 4.0, 0.1)[0].mean()
    if similarity == "cosine":
        unit = embeddings / embeddings.norm(dim=1, keepdim=True)
        contrastive = supervised_contrastive(unit, labels, 0.2).mean()
    else:
        contrastive = distance_contrastive(embeddings, labels, 0.2).mean()
    torch.testing.assert_close(total, 0.5 * triplet + 2 * entropy + 0.25 * contrastive)
    assert set(metrics) == {
        "triplet",
        "triplet_hard",
        "triplet_nonzero",
        "distance",
        "cross_entropy",
        "accuracy",
        "contrastive",
    }
    assert all(value.ndim == 0 and not value.requires_grad for value in metrics.values())
    total.backward()
    assert embeddings.grad is not None and logits.grad is not None


def test_terms_without_weight_are_left_out():
    output = GaitOutput(torch.randn(4, 3, 2), None)
    _, metrics = GaitLoss(LossConfig())(output, torch.tensor([0, 0, 1, 1]))
    assert not {"cross_entropy", "contrastive"} & metrics.keys()
    config = LossConfig(TripletConfig(weight=0.0), contrastive=ContrastiveConfig(weight=1.0))
    _, metrics = GaitLoss(config)(output, torch.tensor([0, 0, 1, 1]))
    assert metrics.keys() == {"contrastive"}


def test_wrong_configurations():
    with pytest.raises(ConfigError, match="triplet, cross_entropy and contrastive are all 0"):
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
    contrastive = ContrastiveConfig(weight=0.2, temperature=0.1, similarity="distance")
    loss = GaitLoss(LossConfig(TripletConfig(), CrossEntropyConfig(weight=0.5), contrastive))
    total, metrics = loss(output, labels[start:stop])
    total.backward()
    return metrics["triplet"], weight.grad


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
