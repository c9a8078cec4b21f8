"""A step trains its path: what is off the path keeps weights, statistics and optimiser state.

A gradient of zero is not the same as none: weight decay would shrink the weights of the other
choices, and momentum or Adam's moments would go on to move those trained before.
"""

import pytest
import torch

from nasgait.config.schema import OptimizerConfig, TrainConfig
from nasgait.core.distributed import World
from nasgait.data.loader import Batch
from nasgait.training.loop import Training, train_step
from search_spaces import load_space

SPACE = load_space("nano")
FIRST, SECOND = (0, 1, 2, 3), (0, 1, 4, 5)
OPTIMIZERS = {
    "sgd": OptimizerConfig(kind="sgd", lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": OptimizerConfig(kind="adam", lr=0.01, momentum=0.9, weight_decay=0.1),
    "adamw": OptimizerConfig(kind="adamw", lr=0.01, momentum=0.9, weight_decay=0.1),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Small convolutions are faster so, and other processes cannot hold them up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def begin(kind, precision="float32"):
    torch.manual_seed(0)
    recipe = TrainConfig(steps=9, optimizer=OPTIMIZERS[kind], precision=precision)
    return Training(SPACE.supernet(), recipe, World(0, 1, torch.device("cpu")))


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    silhouettes = torch.rand(4, 3, *SPACE.size, generator=generator)
    return Batch(silhouettes, torch.tensor([0, 0, 1, 1]))


def choice(name):
    """Layer and choice that a tensor of the supernet belongs to; None for what all paths share."""
    words = name.split(".")
    return (int(words[1]), int(words[words.index("options") + 1])) if "options" in words else None


def on_path(name, path):
    found = choice(name)
    return found is None or path[found[0]] == found[1]


def weights(training):
    return {name: value.clone() for name, value in training.model.state_dict().items()}


def moments(training):
    """The optimiser's state of each parameter that has one, by the parameter's name."""
    names = {parameter: name for name, parameter in training.model.named_parameters()}
    return {
        names[parameter]: {key: torch.as_tensor(value).clone() for key, value in state.items()}
        for parameter, state in training.optimizer.state.items()
    }


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_the_two_paths_share_a_layer_and_part_in_others():
    """What the tests below rest on: choices of the first path alone, of both, of neither."""
    of = {
        name: (on_path(name, FIRST), on_path(name, SECOND))
        for name in begin("sgd").model.state_dict()
    }
    assert set(of.values()) == {(True, True), (True, False), (False, True), (False, False)}
    assert of["units.1.options.1.convs.0.conv.weight"] == (True, True)
    assert of["units.2.options.2.convs.0.conv.weight"] == (True, False)
    assert of["units.3.options.5.convs.1.norm.running_var"] == (False, True)


@pytest.mark.parametrize(
    ("kind", "precision"), [*((kind, "float32") for kind in OPTIMIZERS), ("sgd", "bfloat16")]
)
def test_weights_and_statistics_off_the_path_stay_bit_equal(kind, precision):
    training = begin(kind, precision)
    for seed, path in enumerate((FIRST, SECOND, FIRST)):
        before = weights(training)
        train_step(training, batch(seed), path)
        after = weights(training)
        still = {name for name in after if torch.equal(after[name], before[name])}
        assert still == {name for name in after if not on_path(name, path)}


@pytest.mark.parametrize("kind", list(OPTIMIZERS))
def test_optimiser_state_off_the_path_is_untouched(kind):
    training = begin(kind)
    parameters = dict(training.model.named_parameters())
    seen = set()
    for seed, path in enumerate((FIRST, SECOND, FIRST)):
        before = moments(training)
        train_step(training, batch(seed), path)
        after = moments(training)
        seen |= {name for name in parameters if on_path(name, path)}
        assert set(after) == seen, "a weight has state once a path has led to it"
        for name, state in before.items():
            assert equal(state, after[name]) == (not on_path(name, path)), name


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_counts_the_steps_of_each_weight_by_itself(kind):
    training = begin(kind)
    for seed, path in enumerate((FIRST, SECOND, FIRST)):
        train_step(training, batch(seed), path)
    for name, state in moments(training).items():
        steps = sum(on_path(name, path) for path in (FIRST, SECOND, FIRST))
        assert int(state["step"]) == steps, name


def test_the_first_step_of_sgd_is_the_rate_times_gradient_and_decay():
    """Momentum has nothing to add yet: w - 0.1 (g + 0.1 w) on the path."""
    training = begin("sgd")
    before = weights(training)
    train_step(training, batch(0), FIRST)
    for name, parameter in training.model.named_parameters():
        if not on_path(name, FIRST):
            assert parameter.grad is None, name
            continue
        wanted = before[name] - 0.1 * (parameter.grad + 0.1 * before[name])
        torch.testing.assert_close(parameter.data, wanted, rtol=1e-6, atol=1e-7, msg=name)
