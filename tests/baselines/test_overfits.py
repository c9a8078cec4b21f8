"""Every network learns: at a quarter of its width it tells four identities apart."""

import inspect
from itertools import islice

import numpy as np
import pytest
import torch

from nasgait.baselines import registry
from nasgait.config.schema import (
    CrossEntropyConfig,
    LossConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)
from nasgait.core.distributed import World
from nasgait.data.loader import Batch
from nasgait.data.synthetic.dataset import generate
from nasgait.data.transforms import fit
from nasgait.evaluation.metrics import retrieval_metrics
from nasgait.evaluation.protocols.leave_one_out import leave_one_out
from nasgait.nn.base import GaitNetwork
from nasgait.training.loop import Training, train_step
from search_spaces import load_space

IDENTITIES, WALKS, FRAMES = 4, 3, 4
STEPS, EVERY = 200, 4
"""At most, and between two looks at the training clips."""
RECIPE = TrainConfig(
    optimizer=OptimizerConfig(kind="adamw", lr=3e-3, clip_norm=1.0),
    schedule=ScheduleConfig(kind="constant"),
    loss=LossConfig(cross_entropy=CrossEntropyConfig(weight=0.1)),
)
WIDTHS = {"channels", "layers", "stem", "stages", "embedding", "lateral", "compact"}
"""Arguments that hold channels, ``layers`` in words like BC-64."""

SIZES = {"gln": {"size": (64, 44)}}
"""At 128 x 88 it takes a minute; nothing else is as slow."""


def quarter(value):
    """A quarter of the channels; depths stay, since they are plain numbers below 8."""
    if isinstance(value, str):
        kind, *numbers = value.split("-")
        return "-".join([kind, *(str(int(n) // 4) for n in numbers[:1]), *numbers[1:]])
    if isinstance(value, int):
        return value // 4 if value >= 8 else value
    return None if value is None else tuple(quarter(part) for part in value)


def narrow(name: str) -> GaitNetwork:
    """At a quarter of its width; networks of nano size are that narrow already."""
    torch.manual_seed(0)
    if name not in registry.names():
        space = load_space(name)
        return space.build([count // 2 for count in space.choices], IDENTITIES)
    if name.endswith("-nano"):
        return registry.build(name, IDENTITIES)
    arguments = inspect.signature(registry.VARIANTS[name].make).parameters
    settings = {key: quarter(arguments[key].default) for key in WIDTHS & arguments.keys()}
    return registry.build(name, IDENTITIES, **settings, **SIZES.get(name, {}))


@pytest.fixture(scope="module")
def walks() -> tuple[torch.Tensor, torch.Tensor]:
    """The first clips of the embedded set: uint8 [12, 4, 64, 64], and whose they are."""
    found = list(islice(generate("wild-mini", seqs=WALKS), IDENTITIES * WALKS))
    labels = torch.arange(IDENTITIES).repeat_interleave(WALKS)
    names = [recording.identity.label for recording, _ in found]
    assert names == [names[WALKS * label] for label in labels] and len(set(names)) == IDENTITIES
    return torch.from_numpy(np.stack([views[0][:FRAMES] for _, views in found])), labels


@pytest.fixture(autouse=True)
def one_thread():
    """The number of threads changes rounding, and with it how many steps it takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@torch.no_grad()
def rank1(model: GaitNetwork, batch: Batch) -> float:
    """Percent of the clips whose nearest other clip is of the same identity."""
    embeddings = model.eval()(batch.silhouettes).embeddings.numpy()
    model.train()
    return retrieval_metrics(
        leave_one_out(embeddings, [str(n) for n in batch.labels.tolist()]).retrieval
    )["rank1"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if "nano" in name else pytest.mark.slow)
        for name in (*registry.names(), "nano")
    ],
)
def test_a_narrow_network_overfits_four_identities(name, walks):
    """Rank-1 100 % on the training clips, which takes each 35 s of one core at most."""
    clips, labels = walks
    model = narrow(name)
    times = max(1, model.size[0] // clips.shape[-1])
    larger = clips.repeat_interleave(times, 2).repeat_interleave(times, 3)
    batch = Batch(fit(larger, model.size), labels)
    before = rank1(model, batch)
    training = Training(model, RECIPE, World(0, 1, torch.device("cpu")))
    for step in range(1, STEPS + 1):
        train_step(training, batch, None)
        if step % EVERY == 0 and rank1(model, batch) == 100.0:
            break
    assert before < 100.0, "nothing was to be learnt"
    assert rank1(model, batch) == 100.0
