"""Losses and their gradients: every recorded case of every published implementation."""

import numpy as np
import pytest
import torch
from reference import load_json, load_npz, needs_reference

from nasgait.nn.contrastive import distance_contrastive, supervised_contrastive
from nasgait.nn.losses import cross_entropy, triplet_loss

pytestmark = needs_reference
FILES = ("losses", "losses_sposgait", "losses_hstl")
LEFT_OUT = {
    "bce": "segments silhouettes from video; no network here does",
    "arcface": "changes its caller's logits in place, gives NaN for some; no recipe uses it",
}
"""Recorded losses that are not carried over, and why."""


def recorded(kind):
    """(file, case) of every recorded case whose name begins with ``kind``."""
    return [
        pytest.param(file, case, id=f"{file}:{case}")
        for file in FILES
        for case in load_json(file).get("values_mean", {})
        if case.split("_")[0] == kind
    ]


def arrays(file, case):
    """Arrays of a case by their names; [n, c, p] where HSTL has [n, p, c]."""
    stored = load_npz(file)
    case_arrays = {
        name.partition("/")[2]: array
        for name, array in stored.items()
        if name.partition("/")[0] == case
    }
    if load_json(file)["layout"]["embeddings"] == "[n, p, c]":
        for name in case_arrays:
            if name.endswith(("embeddings", "logits")):
                case_arrays[name] = case_arrays[name].transpose(0, 2, 1)
    return case_arrays


def leaf(array, dtype):
    return torch.tensor(np.ascontiguousarray(array), dtype=dtype, requires_grad=True)


def close(ours, theirs, atol=1e-5):
    np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=atol, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("file", "case"), recorded("triplet"))
def test_triplet(file, case, dtype):
    theirs = arrays(file, case)
    embeddings = leaf(theirs["in_embeddings"], dtype)
    margin = float(case.partition("_m")[2] or 0.2)
    result = triplet_loss(embeddings, torch.tensor(theirs["in_labels"]), margin)
    result.loss.mean().backward()
    close(result.loss, theirs["value"])
    close(result.loss, theirs["info_loss"])
    close(result.hard, theirs["info_hard_loss"])
    close(result.nonzero, theirs["info_loss_num"], atol=0)
    # Theirs has the root of rounding noise where ours has 0, a sample's distance to itself:
    # 1e-3 or so each, on the diagonal.  Its gradient cancels there, as both ends are the
    # same sample, so that gradients agree.
    close(result.distance, theirs["info_mean_dist"], atol=3e-3)
    close(embeddings.grad, theirs["grad_embeddings"])


@pytest.mark.parametrize(("file", "case"), recorded("ce"))
def test_cross_entropy(file, case):
    theirs = arrays(file, case)
    logits = leaf(theirs["in_logits"], torch.float32)
    scale = float(case.split("_")[2].removeprefix("s"))
    smoothing = load_json(file)["defaults"]["CrossEntropyLoss.eps"]
    labels = torch.tensor(theirs["in_labels"])
    losses, accuracy = cross_entropy(
        logits, labels, scale, smoothing if case.endswith("smooth") else 0.0
    )
    losses.mean().backward()
    if file == "losses_hstl" and case.endswith("smooth"):
        # HSTL spreads the smoothed share evenly over the parts; their mean is the same.
        hard = (1 - smoothing) * cross_entropy(logits, labels, scale)[0]
        close(hard + (losses - hard).mean(), theirs["value"])
    elif theirs["value"].ndim:
        close(losses, theirs["value"])
    close(losses.mean(), theirs["value"].mean())
    close(logits.grad, theirs["grad_logits"])
    close(accuracy, theirs["info_accuracy"])


def views_apart(features, labels):
    """Features [n, views, d] as [n * views, d, 1], and their labels."""
    n, views, d = features.shape
    return features.reshape(n * views, d, 1), torch.tensor(labels).repeat_interleave(views)


@pytest.mark.parametrize(("file", "case"), recorded("supcon") + recorded("simclr"))
def test_contrastive(file, case):
    theirs = arrays(file, case)
    temperature = float(case.partition("_t")[2])
    features = leaf(theirs["in_features"], torch.float32)
    labels = theirs.get("in_labels", np.arange(len(features)))
    if "_lp_" in case:
        ours = distance_contrastive(features[..., None], torch.tensor(labels), temperature)
    else:
        ours = supervised_contrastive(*views_apart(features, labels), temperature)
    ours.sum().backward()
    if np.isfinite(theirs["grad_features"]).all():
        close(ours.sum(), theirs["value"])
        close(features.grad, theirs["grad_features"])
    else:
        check_underflow(theirs, temperature, ours, features.grad)


def check_underflow(theirs, temperature, ours, gradient):
    """The case whose published gradient is NaN: its formula in float64, where nothing underflows.

    In float32 the exponentials of all other samples of an anchor are 0, the anchor's loss is
    NaN, is left out of the mean, and makes the whole gradient NaN all the same.  What was
    recorded is the mean over the other anchors.
    """
    x = leaf(theirs["in_features"], torch.float64)
    labels = torch.tensor(theirs["in_labels"])
    unit = x / x.norm(dim=1, keepdim=True)
    other = ~torch.eye(len(x), dtype=torch.bool)
    squared = (unit[:, None] - unit[None]).square().sum(2)
    similarity = -squared.where(other, 1.0).sqrt() / temperature
    share = (similarity.exp() * other).sum(1, keepdim=True).log()
    positive = (labels[:, None] == labels) & other
    losses = ((share - similarity) * positive).sum(1) / positive.sum(1)
    # In float32 a loss is 0, and left out, when it is below the rounding of its terms.
    losses = losses.where(losses > 1e-5, 0.0)
    exact = losses[losses > 0].mean()
    exact.backward()
    close(ours.sum(), exact.item(), atol=1e-4)
    close(gradient, x.grad.numpy(), atol=1e-3)
    seen = (similarity.float().exp() * other).sum(1) > 0
    # The one exponential that is left is the smallest float32 there is, 1.4e-45 for 1.9e-45.
    assert losses[seen & (losses > 0)].mean().item() == pytest.approx(theirs["value"], rel=5e-3)


def test_every_recorded_loss_is_compared_or_left_out_for_a_reason():
    kinds = {case.split("_")[0] for file in FILES for case in load_json(file)["values_mean"]}
    assert kinds == {"triplet", "ce", "supcon", "simclr", *LEFT_OUT}


def test_no_published_recipe_uses_a_loss_that_is_left_out():
    used = str(load_json("recipes")["recipes"]).lower()
    assert "triplet" in used and not any(name in used for name in LEFT_OUT)
