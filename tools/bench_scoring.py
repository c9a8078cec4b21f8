"""Scoring many architectures: a plain loop, one by one, against shared prefixes.

Both sides score the same random architectures by the same supernet weights on the same
sequences of 30 to 120 frames, with the same number of threads.  The plain side is what torch
gives by itself: a network for each architecture of its own Conv3d, BatchNorm3d and max_pool3d,
float32, contiguous, one sequence at a time; with ``--calibrate`` it measures BatchNorm
statistics layer by layer over the whole calibration set, like ours.  Each side runs in a
process of its own, in turn; ratios are those of each round.

    python tools/bench_scoring.py --supernet CKPT
    python tools/bench_scoring.py --supernet CKPT --calibrate 16 --precisions bfloat16

With ``--published``, a checkout of SPOSGait, a few of the architectures also run in the published
supernet, so that one sees that the plain loop is no straw man.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from bench_forward import pair
from numpy.typing import NDArray
from torch import Tensor, nn

from nasgait.config.schema import CalibrationConfig, DataConfig, ExperimentConfig, SearchConfig
from nasgait.core.memory import keep_freed_memory, peak_memory
from nasgait.core.rng import generator
from nasgait.data.split import split_as
from nasgait.data.store import GaitStore
from nasgait.data.transforms import fit
from nasgait.data.writer import StoreWriter
from nasgait.evaluation.protocols import leave_one_out
from nasgait.evaluation.statistics import kendall
from nasgait.kernels.convolution import Conv3d
from nasgait.nn.blocks import ConvBN, LTAConv
from nasgait.nn.norm import BatchNorm
from search_spaces import load_space
from search_spaces.network import ChoiceNetwork, ChoiceUnit, Clip
from search_spaces.space import SearchSpace
from supernet.network import slice_state
from supernet.scoring.prefix_tree import Prefix
from supernet.scoring.scorer import Scorer, calibration_sequences, scored_sequences
from supernet.weights import Weights, load_supernet

SEQUENCES_OF_AN_IDENTITY = 4
PRECISIONS = ("float32", "bfloat16")
FEW = 10
"""The published supernet runs one architecture in so many."""


class PlainNorm(nn.BatchNorm3d):
    """torch's own, called as ours is; measures its statistics over many inputs when asked."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise; nothing is padded here."""
        return super().forward(x)

    def measure(self, inputs: list[Tensor]) -> None:
        """Take the moments of all positions of all inputs."""
        count = sum(x[:, 0].numel() for x in inputs)
        dims = (0, 2, 3, 4)
        mean = sum((x.sum(dims) for x in inputs), torch.zeros(())) / count
        apart = ((x - mean.view(1, -1, 1, 1, 1)).square().sum(dims) for x in inputs)
        self.running_mean, self.running_var = mean, sum(apart, torch.zeros(())) / count


class PlainUnit(ChoiceUnit):
    """A unit whose ReLU and pooling are torch's own, in the published order."""

    def close(self, clip: Clip, in_place: bool = False) -> Clip:
        """What follows the block."""
        return self.finish(clip.x if clip.shortcut is None else clip.x + clip.shortcut)

    def finish(self, x: Tensor) -> Clip:
        """What follows the sum."""
        x = F.relu(x) if self.relu else x
        x = F.max_pool3d(x, (1, 2, 2)) if self.pool else x
        return Clip(x if self.aggregation is None else self.aggregation(x)[0], None)


PLAIN: dict[type, type] = {
    BatchNorm: PlainNorm,
    Conv3d: nn.Conv3d,
    ChoiceUnit: PlainUnit,
}


def plain_network(space: SearchSpace, choices: Prefix, state: dict[str, Tensor]) -> ChoiceNetwork:
    """The architecture's own network of torch's own modules, contiguous."""
    model = space.build(choices)
    model.load_state_dict(slice_state(state, model))
    for module in model.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
    return model.eval()


def calibrate_plainly(model: ChoiceNetwork, sequences: list[Tensor]) -> None:
    """Statistics layer by layer; the whole calibration set stays in memory."""
    inputs = xs = [x[:, None] for x in sequences]
    for unit, (choice,) in zip(model.units, model.options, strict=True):
        inputs = xs if unit.opens else inputs
        for number, conv in enumerate(unit.block(choice).steps()):
            xs = [conv.conv(x) for x in xs]
            conv.norm.measure(xs)
            xs = [unit.block(choice).activate(number, conv.norm(x)) for x in xs]
        if unit.shortcut is not None:
            sides = [unit.shortcut.conv(x) for x in inputs]
            unit.shortcut.norm.measure(sides)
            xs = [x + unit.shortcut.norm(side) for x, side in zip(xs, sides, strict=True)]
        xs = [unit.finish(x).x for x in xs]


def score_plainly(bench: "Bench") -> Iterator[tuple[Prefix, NDArray[np.float32]]]:
    """One architecture after another, one sequence after another."""
    scored = [fit(x[None], bench.space.size) for x in bench.scored]
    drawn = [fit(x[None], bench.space.size) for x in bench.drawn]
    for choices in bench.architectures:
        model = plain_network(bench.space, choices, bench.weights.state)
        if drawn:
            calibrate_plainly(model, drawn)
        yield choices, np.concatenate([model(x).embeddings.numpy() for x in scored])


def score_published(bench: "Bench", folder: Path) -> Iterator[tuple[Prefix, NDArray[np.float32]]]:
    """Some of the architectures by the published supernet, without recalibration."""
    scored = [fit(x[None], bench.space.size) for x in bench.scored]
    for choices in bench.architectures[::FEW]:
        name = f"{bench.space.name}:{'-'.join(map(str, choices))}"
        _, _, published = pair(name, [folder])
        assert published is not None, f"{folder} is no checkout of SPOSGait"
        yield choices, np.concatenate([published(x).numpy() for x in scored])


class Bench:
    """What both sides score, and with what."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.space = load_space(args.space)
        self.store = GaitStore.open(args.work)
        data = DataConfig(store=args.work)
        self.config = ExperimentConfig(
            name="bench",
            data=data,
            space=args.space,
            search=SearchConfig(
                calibration=CalibrationConfig(sequences=args.calibrate),
                precision=args.side if args.side in PRECISIONS else "float32",
                memory=args.memory,
            ),
        )
        self.parts = split_as(self.store, data)
        torch.manual_seed(0)
        self.weights = (
            load_supernet(args.supernet, args.space)
            if args.supernet
            else Weights(self.space.supernet().state_dict(), self.space, "")
        )
        rng, chosen = generator(0, "population"), set()
        while len(chosen) < min(args.archs, self.space.paths):
            chosen.add(self.space.sample(rng).choices)
        self.architectures = sorted(chosen)
        indices = scored_sequences(self.store, self.parts, None)
        self.scored = [self.store[i] for i in indices]
        self.labels = [self.store.sequences[i].label for i in indices]
        self.drawn = calibration_sequences(
            self.store, self.parts, self.config.search.calibration, 0
        )

    def macs(self) -> int:
        """Multiply-accumulates of the scored sequences and the calibration set, unshared."""
        tables = [self.space.cost_table(len(x)) for x in [*self.scored, *self.drawn]]
        return sum(table.total(choices).macs for table in tables for choices in self.architectures)


def run_side(args: argparse.Namespace) -> None:
    """Score in this process; embeddings go to a file, figures to stdout."""
    torch.set_num_threads(args.threads)
    bench = Bench(args)
    figures: dict[str, Any] = {"macs_unshared": bench.macs()}
    if args.side == "plain":
        found = score_plainly(bench)
    elif args.side == "published":
        found = score_published(bench, args.published)
    else:
        keep_freed_memory()
        scorer = Scorer(bench.config, bench.weights, bench.store, bench.parts, torch.device("cpu"))
        found = scorer.embed(bench.architectures)
    before = resident()
    rows, rates, seconds, began = [], [], [], time.perf_counter()
    with torch.inference_mode(), counted_macs() as macs:
        for _, embeddings in found:
            rows.append(embeddings)
            rates.append(leave_one_out(embeddings, bench.labels).rates()["map"])
            seconds.append(time.perf_counter() - began)
    figures |= {
        "seconds": seconds[-1],
        "peak_bytes": peak_memory(torch.device("cpu")) - before,
        "map": rates,
    }
    figures["each"] = np.diff(seconds, prepend=0.0).tolist()
    if args.side in PRECISIONS:
        figures |= {"macs": macs[0], "activations_peak": scorer.memory.peak}
    np.save(args.embeddings, np.stack(rows))
    print(json.dumps(figures))


def resident() -> int:
    """Bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def counted_macs() -> Iterator[list[int]]:
    """A counter of the multiply-accumulates of all convolutions that run within.

    They are those of plain sums, however they are computed.
    """
    done, lock = [0], Lock()

    def counted(
        convolve: Callable[..., Tensor], weight_of: Callable[[Any], Tensor]
    ) -> Callable[..., Tensor]:
        def count(self: nn.Module, *args: Any) -> Tensor:
            y = convolve(self, *args)
            with lock:
                done[0] += weight_of(self).numel() * (y.numel() // y.shape[1])
            return y

        return count

    with (
        patch.object(ConvBN, "convolve", counted(ConvBN.convolve, lambda c: c.conv.weight)),
        patch.object(LTAConv, "forward", counted(LTAConv.forward, lambda c: c.weight)),
    ):
        yield done


def convolution_rate(threads: int, dtype: torch.dtype) -> float:
    """The best multiply-accumulates per second of the space's larger convolutions, measured."""
    torch.set_num_threads(threads)
    best = 0.0
    for frames in (23, 69, 160):
        conv = nn.Conv3d(256, 256, 3, padding=1, bias=False).to(dtype)
        conv = conv.to(memory_format=torch.channels_last_3d)
        x = torch.rand(1, 256, frames, 16, 11, dtype=dtype)
        x = x.to(memory_format=torch.channels_last_3d)
        with torch.inference_mode():
            for _ in range(5):
                began = time.perf_counter()
                conv(x)
                seconds = time.perf_counter() - began
                best = max(best, conv.weight.numel() * frames * 16 * 11 / seconds)
    return best


def write_store(args: argparse.Namespace, folder: str) -> str:
    """Sequences of 30 to 120 frames, made by walking a store's sequences round and round."""
    source, rng = GaitStore.open(args.store), generator(0, "bench")
    path = str(Path(folder) / "store")
    with StoreWriter(path) as writer:
        for subset, count in (("search-val", args.sequences), ("train", max(args.calibrate, 4))):
            for i in few_of_each_identity(source, subset)[:count]:
                length = int(rng.integers(30, 121))
                walk = np.resize(source[i], (length, *source[i].shape[1:]))
                writer.add(source.sequences[i].label, "nm", f"{i}", subset, walk)
    return path


def few_of_each_identity(source: GaitStore, subset: str) -> list[int]:
    """The first sequences of each identity of a subset."""
    groups: dict[str, list[int]] = {}
    for i, sequence in enumerate(source.sequences):
        if sequence.subset == subset:
            groups.setdefault(sequence.label, []).append(i)
    return [i for group in groups.values() for i in group[:SEQUENCES_OF_AN_IDENTITY]]


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Run all sides in turn, each in a process of its own."""
    names = ["plain", *args.precisions, *(["published"] if args.published else [])]
    sides: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        work = write_store(args, folder)
        for _ in range(args.rounds):
            for side, rounds in sides.items():
                file = f"{folder}/{side}.npy"
                command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
                command += ["--work", work, "--embeddings", file]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rounds.append(json.loads(done.stdout) | {"embeddings": np.load(file)})
                print(f"{side}: {rounds[-1]['seconds']:.1f} s", file=sys.stderr)
    plain = sides["plain"]
    result: dict[str, Any] = {
        "space": args.space,
        "architectures": len(plain[0]["map"]),
        "sequences": args.sequences,
        "calibration_sequences": args.calibrate,
        "threads": args.threads,
        "memory_budget": args.memory,
        "macs_unshared": plain[0]["macs_unshared"],
        "plain_seconds": statistics.median(side["seconds"] for side in plain),
        "plain_peak_bytes": plain[-1]["peak_bytes"],
    }
    if args.published:
        few = [seconds for side in plain for seconds in side["each"][::FEW]]
        theirs = [seconds for side in sides["published"] for seconds in side["each"]]
        result["published_seconds_of_an_architecture"] = statistics.median(theirs)
        result["plain_over_published"] = statistics.median(np.divide(few, theirs))
    for precision in args.precisions:
        result[precision] = beside_plain(plain, sides[precision], precision, args.threads)
    return result


def beside_plain(
    plain: list[dict[str, Any]], shared: list[dict[str, Any]], precision: str, threads: int
) -> dict[str, Any]:
    """How the shared side in one precision compares."""
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(plain, shared, strict=True)]
    last, seconds = shared[-1], statistics.median(side["seconds"] for side in shared)
    expected = plain[-1]["embeddings"]
    gap = np.abs(expected - last["embeddings"]).max() / np.abs(expected).max()
    rate = convolution_rate(threads, getattr(torch, precision))
    return {
        "seconds": seconds,
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "largest_relative_gap_of_embeddings": float(gap),
        "architectures_with_equal_map": int(np.sum(np.equal(plain[-1]["map"], last["map"]))),
        "kendall_tau_of_map": kendall(plain[-1]["map"], last["map"]),
        "macs": last["macs"],
        "macs_saved": round(1 - last["macs"] / last["macs_unshared"], 3),
        "gflops_of_plain_sums": round(2e-9 * last["macs"] / seconds, 1),
        "best_convolution_gflops": round(2e-9 * rate, 1),
        "activations_peak": last["activations_peak"],
        "peak_bytes": last["peak_bytes"],
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="sposgait-small")
    parser.add_argument("--store", default="data/wild-mini", help="where silhouettes come from")
    parser.add_argument("--supernet", help="a trained checkpoint; random weights without")
    parser.add_argument("--archs", type=int, default=50)
    parser.add_argument("--sequences", type=int, default=40)
    parser.add_argument("--calibrate", type=int, default=0, help="calibration sequences")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--published", type=Path, help="a checkout of SPOSGait")
    parser.add_argument("--memory", type=float, default=4e9, help="search.memory")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    for hidden in ("--side", "--work", "--embeddings"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        run_side(args)
    else:
        print(json.dumps(compare(args), indent=1))


if __name__ == "__main__":
    main()
