"""Architectures scored together get what each gets alone, by a plain loop, in any memory."""

import subprocess
import sys
import textwrap
import time
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.recalibrate import recalibrate

from nasgait.config.schema import CalibrationConfig, DataConfig, ExperimentConfig, SearchConfig
from nasgait.core.errors import ConfigError
from nasgait.core.precision import autocast
from nasgait.data.split import split_as
from nasgait.data.store import GaitStore, StoreWriter
from nasgait.data.transforms import fit
from nasgait.evaluation.protocols.leave_one_out import leave_one_out
from nasgait.evaluation.statistics import kendall
from nasgait.kernels.convolution import Conv3d
from nasgait.kernels.winograd import FRAMES, ROWS, axes_worth_splitting
from nasgait.nn.blocks import ChoiceBlock, ConvBN
from search_spaces import load_space
from search_spaces.space import SearchSpace
from search_spaces.spec import HeadSpec, LayerSpec, SpaceSpec, StageSpec
from supernet.network import slice_state
from supernet.scoring import memory_plan
from supernet.scoring.activation_cache import ActivationBudget
from supernet.scoring.prefix_evaluator import PrefixEvaluator
from supernet.scoring.scorer import Scorer, calibration_sequences
from supernet.weights import Weights

CPU = torch.device("cpu")

DEEP = SearchSpace(
    SpaceSpec(
        name="deep",
        size=(16, 11),
        frames=6,
        blocks=("3x3x3", "3x3x1+3x1x3", "1x1x1"),
        stages=(
            StageSpec((LayerSpec(4, True), LayerSpec(6, False)), relu=True, pool=True, lta=True),
            StageSpec((LayerSpec(8, True), LayerSpec(8, False), LayerSpec(8, True))),
            StageSpec((LayerSpec(8, False),), shortcut=False, relu=True),
        ),
        head=HeadSpec((4, 2), 8),
    ),
    "deep",
)
"""Stages of several layers, one of them without a shortcut."""

FIXED = SearchSpace(
    SpaceSpec(
        name="fixed",
        size=(16, 11),
        frames=6,
        blocks=("3x3x3", "1x1x1"),
        stages=(
            StageSpec((LayerSpec(4, True, ("3x3x3",)),), pool=True, lta=True),
            StageSpec((LayerSpec(6, True, ("3x3x1+3x1x3",)), LayerSpec(8, False))),
            StageSpec((LayerSpec(8, False),)),
        ),
        head=HeadSpec((4, 2), 8),
    ),
    "fixed",
)
"""No choice up to the middle of a stage."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """4 search-val and 6 training identities x 3 sequences of 1 to 13 frames of noise."""
    path = tmp_path_factory.mktemp("data") / "store"
    rng = np.random.default_rng(0)
    with StoreWriter(path) as writer:
        for number in range(10):
            for take in range(3):
                shape = (int(rng.integers(1, 14)), 64, 64)
                frames = (rng.random(shape) < 0.3 + number / 30) * np.uint8(255)
                subset = "search-val" if number < 4 else "train"
                writer.add(f"{number:03d}", "nm", f"{take}", subset, frames)
    return GaitStore.open(path)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The plain loop calibrates in a Python thread for each sequence: enough of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def weights_of(space):
    torch.manual_seed(1)
    network = space.supernet()
    for module in network.modules():
        if hasattr(module, "running_mean"):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return Weights(network.state_dict(), space, "")


def experiment(store, **search):
    return ExperimentConfig("test", DataConfig(str(store.path)), search=SearchConfig(**search))


def scorer_of(space, store, **search):
    config = experiment(store, **search)
    return Scorer(config, weights_of(space), store, split_as(store, config.data), CPU)


def embedded(scorer, architectures):
    return dict(scorer.embed(architectures))


def plain_loop(space, store, architectures, precision="float32", **search):
    """Each architecture and each sequence alone: [n, c, p] by choices."""
    config = experiment(store, **search)
    parts = split_as(store, config.data)
    drawn = calibration_sequences(store, parts, config.search.calibration, config.seed)
    state, found = weights_of(space).state, {}
    for choices in architectures:
        model = space.build(choices)
        model.load_state_dict(slice_state(state, model))
        model.eval()
        with autocast(CPU, precision):
            recalibrate(model, [partial(model, fit(frames[None], space.size)) for frames in drawn])
            with torch.inference_mode():
                rows = [model(fit(store[i][None], space.size)) for i in parts.search_val]
        found[choices] = torch.cat([row.embeddings for row in rows]).float().numpy()
    return found


def agree(ours, plain, tolerance=1e-5):
    assert ours.keys() == plain.keys()
    for choices, embeddings in plain.items():
        gap = np.abs(ours[choices] - embeddings).max() / np.abs(embeddings).max()
        assert gap < tolerance, (choices, gap)


def test_fifty_together_are_each_alone(store):
    space = load_space("nano")
    rng = np.random.default_rng(2)
    chosen = sorted({space.sample(rng).choices for _ in range(80)})[:50]
    assert len(chosen) == 50
    scorer = scorer_of(space, store)
    plain = plain_loop(space, store, chosen)
    agree(embedded(scorer, chosen), plain)
    began = time.perf_counter()
    scored = list(scorer.score_all(chosen[::-1]))
    took = time.perf_counter() - began
    assert [choices for choices, _, _ in scored] == chosen
    for choices, metrics, seconds in scored:
        expected = leave_one_out(plain[choices], scorer.labels).metrics()
        assert metrics == {name: expected[name] for name in ("rank1", "map")} and seconds > 0
    assert 0.9 * took < sum(seconds for *_, seconds in scored) <= took


paths = {space: st.tuples(*[st.integers(0, n - 1) for n in space.choices])
         for space in (DEEP, FIXED, load_space("nano"))}  # fmt: skip


@settings(max_examples=25)
@given(data=st.data(), megabytes=st.floats(12, 40), longest=st.integers(1, 13))
@pytest.mark.parametrize("space", paths, ids=lambda space: space.name)
def test_whatever_the_population_lengths_batches_and_memory(space, store, data, megabytes, longest):
    chosen = data.draw(st.lists(paths[space], min_size=1, max_size=6, unique=True))
    sequences = data.draw(st.integers(0, 12))
    search = {
        "max_frames": longest,
        "calibration": CalibrationConfig(sequences, max_frames=longest),
        "memory": megabytes * 1e6,
    }
    torch.set_num_threads(data.draw(st.sampled_from([1, 2, 3]), "threads"))
    with patch.object(memory_plan, "SIDE_BY_SIDE", 0):
        scorer = scorer_of(space, store, **search)
        found = embedded(scorer, chosen)
    torch.set_num_threads(1)
    assert scorer.memory.used <= scorer.memory.peak <= scorer.memory.limit
    if sequences:
        cut = truncated(store, longest)
        agree(found, plain_loop(space, cut, chosen, **search), 3e-5)


def truncated(store, longest):
    """The store as it is read with ``max_frames``."""

    class Truncated:
        path, sequences, size = store.path, store.sequences, store.size

        def __getitem__(self, index):
            return store[index][:longest]

    return Truncated()


def test_the_same_bits_whatever_is_scored_beside_and_in_whatever_memory(store):
    space = load_space("nano")
    chosen = [(0, a, b, c) for a, b in ((0, 4), (3, 1), (3, 5)) for c in (2, 3)]
    roomy = scorer_of(space, store)
    together = embedded(roomy, chosen)
    again = embedded(roomy, chosen[::-1])
    tight = scorer_of(space, store)
    tight.memory.limit = 0
    recomputed = embedded(tight, chosen)
    assert roomy.memory.peak > 0 == tight.memory.peak
    later = scorer_of(space, store)
    embedded(later, chosen[:1])
    for choices in chosen[1::2]:
        alone = embedded(scorer_of(space, store), [choices])[choices]
        for other in (together, again, recomputed, embedded(later, [choices])):
            assert np.array_equal(alone, other[choices]), choices


def test_nothing_to_score(store):
    assert list(scorer_of(load_space("nano"), store).score_all([])) == []


@pytest.mark.parametrize("space", [FIXED, load_space("nano")], ids=lambda space: space.name)
def test_layers_without_a_choice_are_computed_once(space, store, monkeypatch):
    convolved, convolve = [], ConvBN.convolve

    def counted(self, *args):
        convolved.append(self)
        return convolve(self, *args)

    monkeypatch.setattr(ConvBN, "convolve", counted)
    scorer = scorer_of(space, store)
    first = scorer.network.units[0].block(0).convs[0]
    chosen = [tuple(n - 1 - i for n in space.choices) for i in (0, 1)]
    chosen = [(*[0] * (len(c) - 2), *c[-2:]) for c in chosen]
    embedded(scorer, chosen[:1])
    once, kept = convolved.count(first), scorer.memory.used
    assert once > 1 and kept > 0
    embedded(scorer, chosen[1:])
    broken_off = scorer.embed(chosen)
    next(broken_off)
    broken_off.close()
    assert convolved.count(first) == once and scorer.memory.used == kept


WIDE = SearchSpace(
    SpaceSpec(
        name="wide",
        size=(16, 11),
        frames=16,
        blocks=("3x3x3", "3x3x1+3x1x3", "3x1x1+1x3x3"),
        stages=(
            StageSpec((LayerSpec(64, True),)),
            StageSpec((LayerSpec(128, False),), pool=True),
            StageSpec((LayerSpec(64, False),)),
        ),
        head=HeadSpec((4, 2), 32),
    ),
    "wide",
)
"""Wide enough for convolutions by Winograd's way."""


def test_wide_layers_agree_with_the_plain_loop(store):
    assert axes_worth_splitting(torch.empty(64, 64, 3, 1, 3)) == [FRAMES]
    assert axes_worth_splitting(torch.empty(64, 128, 3, 3, 3)) == [FRAMES, ROWS]
    chosen = [(0, a, b) for a in range(3) for b in range(3)]
    agree(embedded(scorer_of(WIDE, store), chosen), plain_loop(WIDE, store, chosen), 1e-4)


@pytest.mark.parametrize(("precision", "fine"), [("float32", False), ("bfloat16", True)])
def test_scored_clips_are_convolved_with_less_rounding_in_bfloat16(
    store, precision, fine, monkeypatch
):
    asked: dict[bool, set[bool]] = {True: set(), False: set()}
    types: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    prepare, run = Conv3d.prepared, ChoiceBlock.run

    def watched(self, weight, bias, dtype, fine=False):
        if self.kernel_size != (1, 1, 1):
            asked[bias is not None].add(fine)
            types[bias is not None].add(dtype)
        return prepare(self, weight, bias, dtype, fine)

    def seen(self, x, valid, folded):
        y = run(self, x, valid, folded)
        assert x.dtype == y.dtype == torch.float32
        return y

    monkeypatch.setattr(Conv3d, "prepared", watched)
    monkeypatch.setattr(ChoiceBlock, "run", seen)
    embedded(scorer_of(WIDE, store, precision=precision), [(0, 0, 0), (0, 1, 1)])
    assert asked == {False: {False}, True: {fine}}
    assert types[True] == types[False] == {getattr(torch, precision)}


@pytest.mark.parametrize("share", [0, 0.3, 0.6])
def test_recomputing_costs_no_more_than_each_step_from_the_input_again(store, share, monkeypatch):
    calls = []
    convolve = ConvBN.convolve
    monkeypatch.setattr(
        ConvBN, "convolve", lambda *args: calls.append(len(args[1])) or convolve(*args)
    )
    chosen = [(0, 1, 2, 1, 1, 0), (0, 1, 1, 2, 2, 0), (0, 1, 1, 2, 2, 1)]
    roomy = scorer_of(DEEP, store)
    expected = embedded(roomy, chosen)
    once = len(calls)
    calls.clear()
    tight = scorer_of(DEEP, store)
    tight.memory.limit = share * roomy.memory.peak
    found = embedded(tight, chosen)
    assert all(np.array_equal(found[choices], expected[choices]) for choices in chosen)
    longest = 2 * len(chosen[0]) + 2  # convolutions and shortcuts of a path
    assert once < len(calls) < once * longest / 2


def test_without_a_calibration_set_the_statistics_of_training_hold(store):
    space, chosen = load_space("nano"), [(0, 3, 5, 1), (0, 3, 2, 2)]
    scorer = scorer_of(space, store, calibration=CalibrationConfig(0))
    assert scorer.calibrated_on == 0
    state = weights_of(space).state
    for choices, embeddings in embedded(scorer, chosen).items():
        model = space.build(choices)
        model.load_state_dict(slice_state(state, model))
        with torch.inference_mode():
            rows = [model.eval()(fit(store[i][None], space.size)) for i in scorer.indices]
        agree({0: embeddings}, {0: torch.cat([row.embeddings for row in rows]).numpy()})


def test_bfloat16_orders_architectures_as_float32_does(store):
    space = load_space("nano")
    chosen = [(0, a, b, c) for a in range(6) for b in (0, 2, 5) for c in (1, 4)]
    exact = embedded(scorer_of(space, store), chosen)
    close = embedded(scorer_of(space, store, precision="bfloat16"), chosen)
    agree(close, exact, 0.05)
    apart = [np.linalg.norm(exact[c][0] - exact[c][1]) for c in chosen]
    apart_close = [np.linalg.norm(close[c][0] - close[c][1]) for c in chosen]
    assert kendall(apart, apart_close) > 0.9


def test_memory_too_little_for_a_single_sequence(store):
    with pytest.raises(ConfigError, match=r"search\.memory .* need") as refused:
        scorer_of(load_space("nano"), store, memory=1e6)
    needed = float(str(refused.value).split(" need ")[1].split(";")[0])
    assert needed > 6 * 16 * 32 * 22 * 4 * 12, "room for the largest activations"
    assert embedded(scorer_of(load_space("nano"), store, memory=1.01 * needed), [(0, 0, 0, 0)])
    with pytest.raises(ConfigError, match="need"):
        scorer_of(load_space("nano"), store, memory=0.99 * needed)


RANKS = textwrap.dedent(
    """
    import sys
    import torch
    import torch.distributed as dist
    sys.path[:0] = sys.argv[2:]
    from test_scoring import measured

    dist.init_process_group("gloo")
    torch.save(measured(dist.get_rank(), 2), f"{sys.argv[1]}/{dist.get_rank()}.pt")
    dist.destroy_process_group()
    """
)


def measured(rank, ranks):
    """Embeddings of noise by two paths, calibrated on this rank's share of ten sequences."""
    network = DEEP.supernet().eval()
    network.load_state_dict(weights_of(DEEP).state)
    generator = torch.Generator().manual_seed(3)
    batches = [
        (torch.rand(1, int(length), 16, 11, generator=generator), torch.tensor([int(length)]))
        for length in torch.randint(1, 12, (11,), generator=generator)
    ]
    calibration, scored = ([partial(tuple, batch) for batch in part]
                           for part in (batches[rank:10:ranks], batches[10:]))  # fmt: skip
    evaluator = PrefixEvaluator(network, calibration, scored, ActivationBudget(1e9), torch.float32)
    return [found for _, found in evaluator.embeddings([(0, 1, 2, 1, 0, 2), (0, 1, 1, 2, 2, 0)])]


def test_statistics_are_pooled_over_ranks(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    # The checkout first: tests/search_spaces is no package of ours.
    command += [str(script), str(tmp_path), *map(str, reversed(Path(__file__).parents[:3]))]
    subprocess.run(command, check=True, capture_output=True)
    whole = measured(0, 1)
    assert len(whole) == 2
    for rank in range(2):
        shared = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for mine, expected in zip(shared, whole, strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6)
