"""The whole supernet step with its loader, in turn with the plain way, in one process."""

import contextlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from benchmarks.plain import make_plain
from torch import Tensor, nn

from gpu_parts.data import make_store
from gpu_parts.machine import Task, synchronise
from gpu_parts.plain_loader import PlainBatches
from nasgait.config.schema import AugmentConfig, BatchConfig, TrainConfig
from nasgait.core.distributed import World
from nasgait.core.memory import peak_memory
from nasgait.data.loader import Batch, TrainLoader
from nasgait.data.store import GaitStore
from nasgait.training.loop import Training, train_step
from search_spaces import load_space
from search_spaces.network import ChoiceNetwork
from search_spaces.space import SearchSpace
from supernet.network import path_at

PATHS = 4
"""Paths that the timed steps take in turn; each also runs once before timing starts."""
AUGMENT = AugmentConfig(flip=0.5, rotate=0.5)


def measured_steps(task: Task) -> dict[str, Any]:
    """Each space's step: as it is, autotuned, and the plain way."""
    names = ("nano",) if task.small else ("sposgait-large", "sposgait-small")
    ids, frames = (4, (16, 20)) if task.small else (80, (40, 60))
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store", ids, 4, frames)
        return {name: Bench(task, store, load_space(name)).run() for name in names}


class Bench:
    """One space's steps."""

    def __init__(self, task: Task, store: GaitStore, space: SearchSpace) -> None:
        self.task, self.store, self.space = task, store, space
        ids, seqs = (2, 2) if task.small else (32, 4)
        self.batch = BatchConfig(ids=ids, seqs=seqs, frames=space.frames)
        self.indices = [i for i, s in enumerate(store.sequences) if s.subset == "train"]
        self.paths = [path_at(space, 0, step) for step in range(PATHS)]
        lower = "bfloat16" if task.device.type == "cpu" else "float16"
        self.sides: dict[str, tuple[str, bool]] = {
            "as it is": ("bfloat16", False),
            "autotuned": ("bfloat16", True),
            "plain": (lower, False),
        }

    def run(self) -> dict[str, Any]:
        """A row for each side, with its share of the machine's limits."""
        floor = self.floor()
        found: dict[str, Any] = {"sequences": self.batch.ids * self.batch.seqs, "floor": floor}
        rows: dict[str, Any] = {}
        for name in self.sides:
            if not self.task.time_left():
                rows[name] = {"left_out": "no time left"}
                continue
            try:
                rows[name] = self.side(name)
                rows[name]["share_of_floor"] = floor["ms"] / rows[name]["ms"]
            except RuntimeError as fault:
                rows[name] = {"failed": str(fault)[:500]}
            if self.task.device.type == "cuda":
                torch.cuda.empty_cache()
        return found | {"sides": rows}

    def side(self, name: str) -> dict[str, Any]:
        """Times of one side: with its loader, and with a batch that is already on the device."""
        precision, autotune = self.sides[name]
        device = self.task.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        torch.backends.cudnn.benchmark = autotune
        torch.manual_seed(0)
        model = self.space.supernet()
        recipe = TrainConfig(batch=self.batch, precision=precision, augment=AUGMENT)
        if name == "plain":
            make_plain(model)
            recipe = replace(recipe, channels_last=False)
        training = Training(model, recipe, World(0, 1, device))
        model.train()
        with self.stream(name == "plain") as batches:
            began = time.perf_counter()
            for number in range(2 * PATHS):
                train_step(training, next(batches), self.paths[number % PATHS])
            synchronise()
            first = time.perf_counter() - began
            steps, waiting = self.timed(training, batches)
            found = {
                "ms": statistics.median(steps),
                "share_waiting_for_data": sum(waiting) / sum(steps),
                "sequences_per_second": 1000 * len(self) / statistics.median(steps),
                "first_steps_seconds": first,
                "memory_gib": peak_memory(device) / 2**30,
            }
            return found | self.on_device(training, next(batches))

    def __len__(self) -> int:
        return self.batch.ids * self.batch.seqs

    @contextlib.contextmanager
    def stream(self, plain: bool) -> Iterator[Iterator[Batch]]:
        """Batches without end."""
        if plain:
            stream = PlainBatches(self.store, self.indices, self.batch).stream()
        else:
            size = self.space.size
            loader = TrainLoader(self.store, self.indices, self.batch, AUGMENT, size, seed=0)
            stream = loader.stream(0, 10**6)
        try:
            yield stream
        finally:
            stream.close()

    def timed(
        self, training: Training[ChoiceNetwork], batches: Iterator[Batch]
    ) -> tuple[list[float], list[float]]:
        """Milliseconds of each step, its batch included, and of the wait for the batch."""
        steps, waiting = [], []
        for number in range(PATHS if self.task.small else 2 * PATHS):
            began = time.perf_counter()
            batch = next(batches)
            waiting.append(1000 * (time.perf_counter() - began))
            train_step(training, batch, self.paths[number % PATHS])
            synchronise()
            steps.append(1000 * (time.perf_counter() - began))
        return steps, waiting

    def on_device(self, training: Training[ChoiceNetwork], batch: Batch) -> dict[str, Any]:
        """The step without data: milliseconds, waits for the device, time in kernels."""
        device = self.task.device
        held = Batch(batch.silhouettes.to(device), batch.labels.to(device))
        again = [(held, path) for path in self.paths]
        times = []
        for one, path in again * 2:
            began = time.perf_counter()
            train_step(training, one, path)
            synchronise()
            times.append(1000 * (time.perf_counter() - began))
        found: dict[str, Any] = {"ms_without_data": statistics.median(times)}
        if device.type == "cuda":
            found["waits_for_device"] = waits(lambda: train_step(training, held, self.paths[0]))
            found |= kernels(lambda: [train_step(training, *one) for one in again], sum(times) / 2)
        return found

    def floor(self) -> dict[str, float]:
        """The least time of a step, mean over the paths: arithmetic and traffic of convolutions."""
        limits, found = self.task.limits, []
        for path in self.paths:
            found.append(convolution_floor(self.space, path, len(self), limits))
        return {key: statistics.mean(one[key] for one in found) for key in found[0]}


def convolution_floor(
    space: SearchSpace, path: tuple[int, ...], sequences: int, limits: dict[str, float]
) -> dict[str, float]:
    """Sum over convolutions and passes of the larger of arithmetic and traffic, in bfloat16."""
    total = {"ms": 0.0, "tflop": 0.0, "gigabytes": 0.0}

    def add(conv: nn.Conv3d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0]
        passes = 2 if conv.in_channels == 1 else 3
        flops = 2 * output.numel() * conv.weight[0].numel() * sequences
        traffic = 2 * (x.numel() + output.numel()) * sequences
        slower = max(flops / limits["bfloat16_flops"], traffic / limits["copy_bytes_per_second"])
        total["ms"] += 1000 * passes * slower
        total["tflop"] += passes * flops / 1e12
        total["gigabytes"] += passes * traffic / 1e9

    with torch.device("meta"):
        model = space.build(path)
        x = torch.empty(1, space.frames, *space.size)
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            module.register_forward_hook(add)
    model(x)
    return total


def waits(step: Callable[[], Any]) -> dict[str, int]:
    """How often a step makes the host wait for the device, by place in the code."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found: dict[str, int] = {}
    for one in caught:
        place = f"{Path(one.filename).name}:{one.lineno}"
        found[place] = found.get(place, 0) + 1
    return found


def kernels(run: Callable[[], Any], wall_ms: float) -> dict[str, Any]:
    """Time in kernels beside the wall clock, and the kernels that take most of it."""
    from torch.profiler import ProfilerActivity, profile

    with profile(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], record_shapes=True
    ) as ops:
        run()
        synchronise()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        run()
        synchronise()
    events = [e for e in seen.key_averages() if e.self_device_time_total > 0]
    total = sum(e.self_device_time_total for e in events) / 1000
    top = sorted(events, key=lambda e: -e.self_device_time_total)[:25]
    return {
        "kernel_ms_per_step": total / PATHS,
        "kernels_per_step": sum(e.count for e in events) / PATHS,
        "kernel_share_of_wall": total / wall_ms,
        "top_kernels": [
            {
                "name": e.key[:110],
                "ms_per_step": round(e.self_device_time_total / 1000 / PATHS, 3),
                "calls_per_step": e.count / PATHS,
            }
            for e in top
        ],
        "top_operations": operations(ops),
    }


def operations(seen: Any) -> list[dict[str, Any]]:
    """The operations, by the shapes of their inputs, whose kernels take most time."""
    events = [e for e in seen.key_averages(group_by_input_shape=True) if e.key.startswith("aten::")]
    return [
        {
            "name": e.key,
            "shapes": str(e.input_shapes)[:120],
            "ms_per_step": round(e.self_device_time_total / 1000 / PATHS, 3),
            "calls_per_step": e.count / PATHS,
        }
        for e in sorted(events, key=lambda e: -e.self_device_time_total)[:30]
    ]


def table(found: dict[str, Any]) -> list[str]:
    """A line for each side, and the operations that take most time."""
    lines = []
    for space, rows in found.items():
        floor = rows["floor"]
        lines.append(
            f"{space}: floor {floor['ms']:.1f} ms, {floor['tflop']:.2f} TFLOP, "
            f"{floor['gigabytes']:.1f} GB a step"
        )
        for side, row in rows["sides"].items():
            if "ms" not in row:
                lines.append(f"  {side:24}{row}")
                continue
            lines.append(
                f"  {side:24}{row['ms']:8.1f} ms  {row['sequences_per_second']:8.0f} seq/s  "
                f"{row['share_of_floor']:.0%} of the floor, "
                f"data {row['share_waiting_for_data']:.0%}, "
                f"without data {row['ms_without_data']:.1f} ms, "
                f"kernels {row.get('kernel_ms_per_step', 0):.1f} ms, "
                f"first {row['first_steps_seconds']:.1f} s, {row['memory_gib']:.1f} GiB, "
                f"waits {row.get('waits_for_device')}"
            )
            for one in row.get("top_operations", [])[:12]:
                lines.append(
                    f"      {one['ms_per_step']:8.2f} ms  {one['name']} {one['shapes'][:80]}"
                )
    return lines
