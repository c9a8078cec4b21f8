"""Scores against a network, a calibration and a retrieval written out in float64 here."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nasgait.config.schema import (
    CalibrationConfig,
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    SearchConfig,
)
from nasgait.data.split import Split
from nasgait.data.store import GaitStore, StoreWriter
from search_spaces.space import SearchSpace
from search_spaces.spec import HeadSpec, LayerSpec, SpaceSpec, StageSpec
from supernet.scoring.scorer import Scorer
from supernet.weights import Weights

SPACE = SearchSpace(
    SpaceSpec(
        name="two",
        size=(16, 12),
        frames=6,
        blocks=("3x3x3", "3x1x1+1x3x3"),
        stages=(
            StageSpec((LayerSpec(4, True), LayerSpec(4, False)), relu=True, pool=True, lta=True),
            StageSpec((LayerSpec(6, True),), shortcut=False),
        ),
        head=HeadSpec((2, 1), 5),
    ),
    "two",
)
KERNELS = {0: ["3x3x3"], 1: ["3x1x1", "1x3x3"]}
PATHS = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """5 people to score x 3 sequences and 3 to calibrate on x 3, all of 1 to 17 frames."""
    path = tmp_path_factory.mktemp("data") / "store"
    rng = np.random.default_rng(5)
    with StoreWriter(path, size=SPACE.size) as writer:
        for take in range(3):
            for number in reversed(range(8)):
                shape = (int(rng.integers(1, 18)), *SPACE.size)
                ink = 0.2 + 0.07 * number + 0.1 * rng.random()
                frames = (rng.random(shape) < ink) * rng.integers(100, 256, shape)
                subset = "search-val" if number in (0, 2, 3, 5, 7) else "train"
                writer.add(f"{number}", f"{take}", "0", subset, frames.astype(np.uint8))
    return GaitStore.open(path)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(3)
    network = SPACE.supernet()
    for name, parameter in network.named_parameters():
        if name.endswith(("norm.weight", "norm.bias")):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return network.state_dict()


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def scorer_of(store, state, metric="euc", **search):
    search = {"calibration": CalibrationConfig(99), **search}
    config = ExperimentConfig(
        "test",
        DataConfig(str(store.path)),
        search=SearchConfig(**search),
        evaluation=EvaluationConfig(metric=metric),
    )
    weights = Weights(state, SPACE, "")
    return Scorer(config, weights, store, parts_of(store), torch.device("cpu"))


def parts_of(store):
    def numbers(subset):
        return [i for i, row in enumerate(store.sequences) if row.subset == subset]

    return Split(numbers("train"), numbers("search-val"), [])


def clips_of(store, indices, most=None):
    """Each sequence alone, float64 [1, 1, s, h, w], repeated to three frames."""
    clips = []
    for index in indices:
        frames = torch.from_numpy(store[index][:most]).double() / 255
        while len(frames) < 3:
            frames = torch.cat([frames, torch.from_numpy(store[index][:most]).double() / 255])
        clips.append(frames[None, None])
    return clips


class Plain:
    """The network of a path in float64: scored clips beside calibration clips, one at a time."""

    def __init__(self, state, calibration, scored):
        self.state = {name: value.double() for name, value in state.items()}
        self.calibration, self.clips = len(calibration), [*calibration, *scored]

    def normal(self, clips, name):
        """BatchNorm by the positions of all calibration clips together."""
        seen = [clip.movedim(1, 0).flatten(1) for clip in clips[: self.calibration]]
        values = torch.cat(seen, dim=1).numpy()
        count = values.shape[1]
        mean = values.sum(1) / count
        var = ((values - mean[:, None]) ** 2).sum(1) / count
        scale = self.state[f"{name}.weight"].numpy() / np.sqrt(var + 1e-5)
        shift = self.state[f"{name}.bias"].numpy() - mean * scale
        a, b = (torch.from_numpy(v)[:, None, None, None] for v in (scale, shift))
        return [clip * a + b for clip in clips]

    def convolved(self, clips, name):
        weight = self.state[f"{name}.conv.weight"]
        padding = [side // 2 for side in weight.shape[2:]]
        return self.normal([F.conv3d(c, weight, padding=padding) for c in clips], f"{name}.norm")

    def block(self, clips, unit, choice, relu):
        for number in range(len(KERNELS[choice])):
            clips = self.convolved(clips, f"units.{unit}.options.{choice}.convs.{number}")
            if relu or number < len(KERNELS[choice]) - 1:
                clips = [clip.clamp(min=0) for clip in clips]
        return clips

    def embeddings(self, path):
        first = self.block(self.clips, 0, path[0], relu=True)
        second = self.block(first, 1, path[1], relu=False)
        shortcut = self.convolved(self.clips, "units.1.shortcut")
        clips = [a + b for a, b in zip(second, shortcut, strict=True)]
        clips = [F.max_pool3d(clip.clamp(min=0), (1, 2, 2)) for clip in clips]
        joining = self.state["units.1.aggregation.conv.weight"]
        clips = [F.conv3d(clip, joining, stride=(3, 1, 1)) for clip in clips]
        clips = [torch.where(clip > 0, clip, 0.01 * clip) for clip in clips]
        clips = self.block(clips, 2, path[2], relu=True)
        maps = torch.cat([clip.amax(2) for clip in clips[self.calibration :]])
        p = self.state["pooling.p"]
        strips = [maps[:, :, :4], maps[:, :, 4:], maps]
        parts = [(s.clamp(min=1e-6) ** p).mean((2, 3)) ** (1 / p) for s in strips]
        fcs = self.state["fcs.fc_bin"]
        return torch.stack([part @ fcs[i] for i, part in enumerate(parts)], dim=2).numpy()


def plain(store, state, scorer, most=None, limit=None):
    parts = parts_of(store)
    calibration = clips_of(store, parts.train, limit)
    return Plain(state, calibration, clips_of(store, scorer.indices, most))


def test_scored_sequences_in_the_order_of_their_identities(store, state):
    scorer = scorer_of(store, state)
    rows = [store.sequences[i] for i in scorer.indices]
    assert [(row.label, row.type) for row in rows] == [
        (who, take) for who in "02357" for take in "012"
    ]
    assert scorer.labels == [row.label for row in rows]


@pytest.mark.parametrize("search", [{}, {"memory": 3e6}, {"memory": 1e9}], ids=str)
def test_embeddings_are_those_of_the_plain_network(store, state, search):
    """However the clips of unequal length are put together."""
    scorer = scorer_of(store, state, **search)
    expected = plain(store, state, scorer)
    found = dict(scorer.embed(PATHS))
    assert list(found) == PATHS
    for path, embeddings in found.items():
        true = expected.embeddings(path)
        assert np.abs(embeddings - true).max() < 2e-5 * np.abs(true).max(), path


def test_short_sequences_are_planned_as_long_as_they_are_repeated(store, state):
    scorer = scorer_of(store, state)
    assert scorer.space.spec.least_frames == 3
    assert scorer._repeated([1, 2, 3, 4, 10]) == [3, 4, 3, 4, 10]


def test_smaller_memory_makes_smaller_batches(store, state):
    """Else the test above would see one cut alone."""
    batches = {m: len(scorer_of(store, state, memory=m)._batches) for m in (3e6, 1e9)}
    assert batches[3e6] > batches[1e9]


@pytest.mark.parametrize(("most", "limit"), [(5, None), (None, 4), (4, 2)])
def test_cut_clips(store, state, most, limit):
    search = {"max_frames": most, "calibration": CalibrationConfig(99, max_frames=limit)}
    scorer = scorer_of(store, state, **search)
    expected = plain(store, state, scorer, most, limit)
    for path, embeddings in scorer.embed(PATHS[::3]):
        true = expected.embeddings(path)
        assert np.abs(embeddings - true).max() < 2e-5 * np.abs(true).max(), path


def rates(embeddings, labels, metric):
    """Leave-one-out rank-1 and mAP in percent, a probe at a time."""
    x = embeddings.astype(np.float64)
    hits, precisions = [], []
    for probe in range(len(x)):
        others = [i for i in range(len(x)) if i != probe]
        if metric == "euc":
            far = [np.mean(np.sqrt(((x[probe] - x[i]) ** 2).sum(0))) for i in others]
        else:
            unit = x / np.sqrt((x**2).sum(1, keepdims=True))
            far = [np.mean(1 - (unit[probe] * unit[i]).sum(0)) for i in others]
        right = [labels[others[i]] == labels[probe] for i in np.argsort(far, kind="stable")]
        places = [place for place, found in enumerate(right, 1) if found]
        hits.append(right[0])
        precisions.append(np.mean([n / place for n, place in enumerate(places, 1)]))
    return {"rank1": 100 * np.mean(hits), "map": 100 * np.mean(precisions)}


@pytest.mark.parametrize("metric", ["euc", "cos"])
def test_rates_are_those_of_a_plain_retrieval(store, state, metric):
    scorer = scorer_of(store, state, metric)
    expected = plain(store, state, scorer)
    found = {path: score for path, score, _ in scorer.score_all(PATHS)}
    for path, score in found.items():
        assert score == pytest.approx(rates(expected.embeddings(path), scorer.labels, metric)), path
    assert len({score["map"] for score in found.values()}) > 1, "they tell paths apart"


def test_neither_order_company_nor_repetition_matters(store, state):
    """To the last bit, for embeddings and rates alike."""
    whole = scorer_of(store, state)
    expected = dict(whole.embed(PATHS))
    scores = {path: score for path, score, _ in whole.score_all(PATHS)}
    orders = (PATHS[::-1], PATHS[3:] + PATHS[:3], PATHS[::2], [PATHS[5]], [PATHS[5]] * 2)
    for order in orders:
        for scorer in (whole, scorer_of(store, state)):
            found = dict(scorer.embed(order))
            assert list(found) == sorted(set(order))
            assert all(np.array_equal(found[path], expected[path]) for path in found)
            again = {path: score for path, score, _ in scorer.score_all(order)}
            assert again == {path: scores[path] for path in found}


def test_other_sequences_scored_beside_move_nothing_but_digits(store, state):
    """A sequence's embedding is its own, whatever else is scored; so is one whose label changes."""
    scorer = scorer_of(store, state)
    few = scorer_of(store, state, max_sequences=6)
    assert few.indices == scorer.indices[:6]
    expected, found = (dict(s.embed(PATHS[:2])) for s in (scorer, few))
    for path in PATHS[:2]:
        np.testing.assert_allclose(found[path], expected[path][:6], rtol=1e-4, atol=1e-6)


def test_the_store_s_order_of_training_sequences_moves_nothing_but_digits(store, state):
    scorer = scorer_of(store, state)
    parts = parts_of(store)
    config = ExperimentConfig(
        "test",
        DataConfig(str(store.path)),
        search=SearchConfig(calibration=CalibrationConfig(99)),
    )
    turned = replace(parts, train=parts.train[::-1])
    other = Scorer(config, Weights(state, SPACE, ""), store, turned, torch.device("cpu"))
    for (path, a), (_, b) in zip(scorer.embed(PATHS[:2]), other.embed(PATHS[:2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6, err_msg=str(path))
