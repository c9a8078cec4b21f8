"""Scoring architectures, embedding sequences, and ranking a gallery."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.common import population

from gpu_parts.data import make_store
from gpu_parts.machine import Task, milliseconds, synchronise
from nasgait.config.schema import CalibrationConfig, DataConfig, ExperimentConfig, SearchConfig
from nasgait.data.split import split_as
from nasgait.data.store import GaitStore
from nasgait.evaluation.distance import blocks
from nasgait.evaluation.embed import embed
from nasgait.evaluation.metrics import retrieve
from nasgait.nn.memory_format import to_channels_last
from search_spaces import load_space
from search_spaces.space import SearchSpace
from supernet.scoring.scorer import Scorer
from supernet.weights import Weights

LARGE = (0, 0, 4, 5, 2, 0, 4, 3, 4, 3)


def measured_scoring(task: Task) -> dict[str, Any]:
    """A population scored, a store embedded, a gallery of GREW's size ranked."""
    ids, frames = (8, (8, 12)) if task.small else (60, (30, 120))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store", ids, 4, frames)
        found["scoring"] = scored(task, store)
        found["embedding"] = embedded(task, store)
    found["evaluator"] = ranked(task)
    return found


def scorer_of(
    space: SearchSpace, store: GaitStore, device: torch.device, precision: str, calibrate: int
) -> Scorer:
    """A scorer of a supernet with random weights."""
    torch.manual_seed(0)
    weights = Weights(space.supernet().state_dict(), space, "")
    data = DataConfig(store=str(store.path), search_val=10 if len(store) > 100 else 2)
    search = SearchConfig(
        calibration=CalibrationConfig(sequences=calibrate), precision=precision, memory=8 * 10**9
    )
    config = ExperimentConfig(name="gpu-check", data=data, space=space.name, search=search)
    return Scorer(config, weights, store, split_as(store, data), device)


def scored(task: Task, store: GaitStore) -> dict[str, Any]:
    """Seconds for a population with recalibration: together, and a few of it one by one."""
    space = load_space("nano" if task.small else "sposgait-small")
    archs = population(space, 4 if task.small else 50)
    found: dict[str, Any] = {"architectures": len(archs), "space": space.name}
    for precision in ("float32", "bfloat16"):
        scorer = scorer_of(space, store, task.device, precision, 4 if task.small else 16)
        list(scorer.score_all(archs[:1]))  # warm-up
        seconds = []
        for _ in range(2):
            scorer = scorer_of(space, store, task.device, precision, 4 if task.small else 16)
            synchronise()
            began = time.perf_counter()
            list(scorer.score_all(archs))
            synchronise()
            seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
        for arch in archs[:5]:
            alone = scorer_of(space, store, task.device, precision, 4 if task.small else 16)
            list(alone.score_all([arch]))
        synchronise()
        each = (time.perf_counter() - began) / len(archs[:5])
        found[precision] = {"together_seconds": seconds, "alone_seconds_each": each}
        found["sequences"] = len(scorer.indices)
    return found


def embedded(task: Task, store: GaitStore) -> dict[str, Any]:
    """Sequences and frames per second through a searched network."""
    name = "nano" if task.small else "sposgait-large"
    space = load_space(name)
    model = space.build((0, 5, 5, 5) if task.small else LARGE)
    to_channels_last(model.to(task.device)).eval()
    indices = list(range(len(store)))
    frames = sum(s.length for s in store.sequences)
    found: dict[str, Any] = {"network": name, "sequences": len(indices), "frames": frames}
    for precision in ("float32", "bfloat16"):
        for autotune in (False, True):
            torch.backends.cudnn.benchmark = autotune
            embed(model, store, indices, space.size, device=task.device, precision=precision)
            began = time.perf_counter()
            embed(model, store, indices, space.size, device=task.device, precision=precision)
            spent = time.perf_counter() - began
            key = precision + (", autotuned" if autotune else "")
            found[key] = {"seconds": spent, "frames_per_second": frames / spent}
    torch.backends.cudnn.benchmark = False
    return found


def ranked(task: Task) -> dict[str, Any]:
    """Distances of 20,000 probes to 100,000 of the gallery, and ranking some of them."""
    probes, gallery = (40, 200) if task.small else (20_000, 100_000)
    rng = np.random.default_rng(0)
    shape = (64, 16)
    y = rng.standard_normal((gallery, *shape), dtype=np.float32)
    x = rng.standard_normal((probes, *shape), dtype=np.float32)
    names = np.array([f"{i % (gallery // 4):06d}" for i in range(gallery)])
    some = x[: 20 if task.small else 200]
    began = time.perf_counter()
    found = np.concatenate([d for _, d in blocks(some, y, device=str(task.device))])
    distances = time.perf_counter() - began
    began = time.perf_counter()
    retrieve(found, names[: len(some)], names)
    ranking = time.perf_counter() - began
    device_x, device_y = (torch.from_numpy(a).to(task.device) for a in (x, y))
    tile = 2000

    def all_distances() -> None:
        for start in range(0, probes, tile):
            part = device_x[start : start + tile]
            total = torch.zeros(len(part), gallery, device=task.device)
            for p in range(shape[1]):
                total += torch.cdist(part[:, :, p], device_y[:, :, p])
            total.topk(20, largest=False)

    return {
        "probes": probes,
        "gallery": gallery,
        "distances_ms_a_probe": 1000 * distances / len(some),
        "ranking_ms_a_probe": 1000 * ranking / len(some),
        "tiles_on_device_ms_a_probe": milliseconds(all_distances, task.device, 1, 1) / probes,
    }


def table(found: dict[str, Any]) -> list[str]:
    """A line for each measurement."""
    return [f"{part}: {row}" for part, row in found.items()]
