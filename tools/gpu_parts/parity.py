"""Does a GPU compute what a CPU computes?  Every network, in float64 against lower precisions."""

import copy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.common import population
from torch import Tensor

from gpu_parts.data import make_store
from gpu_parts.machine import Task
from gpu_parts.scoring import scorer_of
from nasgait.baselines import registry
from nasgait.config.schema import AugmentConfig, BatchConfig, LossConfig, TrainConfig
from nasgait.config.schema.training import CrossEntropyConfig, ScheduleConfig
from nasgait.core.distributed import World
from nasgait.data.loader import TrainLoader
from nasgait.data.store import GaitStore
from nasgait.evaluation.statistics import kendall
from nasgait.nn.base import GaitNetwork
from nasgait.nn.losses import GaitLoss
from nasgait.training.loop import Training, fit
from search_spaces import load_space
from search_spaces.space import space_names

CLASSES, FRAMES = 5, 7
BOUNDS = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest relative error (of the norm) that embeddings may have against float64."""
GRADIENT_BOUND = 1e-8
"""For the whole gradient in float64.  In float32, rounding may move a maximum or a margin to the
other side, which changes a whole gradient: those errors are reported, without a bound."""
LENGTHS = (FRAMES, 5, 4, 3)


def network(name: str) -> GaitNetwork:
    """A hand-designed network by name, or the subnet of a space's middle choices."""
    torch.manual_seed(0)
    if name in registry.names():
        return registry.build(name, CLASSES)
    space = load_space(name)
    return space.build([count // 2 for count in space.choices], CLASSES)


def measured_parity(task: Task) -> dict[str, Any]:
    """Errors of every network, agreement of scores, and the bytes of a resumed training."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    # Narrow ones first, so that every family is covered when time is short.
    names = sorted([*registry.names(), *space_names()], key=lambda name: "nano" not in name)
    if task.small:
        names = [name for name in names if "nano" in name]
    if task.networks:
        names = [name for name in names if name in task.networks]
    networks: dict[str, Any] = {}
    found: dict[str, Any] = {"networks": networks, "left_out": []}
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store", 12, 4, (8, 16))
        for part, measure in (("scores", scores), ("resumed", resumed)):
            try:
                found[part] = measure(task, store)
            except Exception as fault:
                found[part] = {"failed": f"{type(fault).__name__}: {fault}"[:600]}
    for name in names:
        if not task.time_left():
            found["left_out"].append(name)
            continue
        try:
            networks[name] = compared(name, task)
        except Exception as fault:
            networks[name] = {"failed": f"{type(fault).__name__}: {fault}"[:600]}
    return found


def compared(name: str, task: Task) -> dict[str, float]:
    """Errors of one network on the device against float64 on the CPU."""
    model = network(name)
    # Shades of grey: with black and white pixels many maxima are ties, which rounding decides.
    x = torch.rand(4, FRAMES, *model.size, generator=torch.Generator().manual_seed(1)).double()
    found: dict[str, float] = {}
    wide = copy.deepcopy(model).double()
    here = model.to(task.device)
    for lengths in (None, torch.tensor(LENGTHS)):
        label = "lengths" if lengths is not None else "equal"
        place = None if lengths is None else lengths.to(task.device)
        with torch.no_grad():
            wanted = wide.eval()(x, lengths).embeddings
            silhouettes = x.float().to(task.device)
            found[f"eval float32 {label}"] = gap(here.eval()(silhouettes, place).embeddings, wanted)
            for dtype in (torch.bfloat16, torch.float16):
                if dtype == torch.float16 and task.device.type == "cpu":
                    continue
                with torch.autocast(task.device.type, dtype):
                    lower = here(silhouettes, place).embeddings
                found[f"eval {str(dtype)[6:]} {label}"] = gap(lower, wanted)
        wanted_gradient = gradient(wide, x, lengths)
        found[f"gradient float32 {label}"] = gap(
            gradient(here, silhouettes, place), wanted_gradient
        )
        twin, clips = copy.deepcopy(wide).to(task.device), x.to(task.device)
        found[f"gradient float64 {label}"] = gap(gradient(twin, clips, place), wanted_gradient)
    return found


def gradient(model: GaitNetwork, x: Tensor, lengths: Tensor | None) -> Tensor:
    """The whole gradient of both losses in training mode, float64 on the CPU."""
    twin = copy.deepcopy(model).train()
    for module in twin.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    labels = torch.tensor([0, 0, 1, 1], device=x.device)
    loss = GaitLoss(LossConfig(cross_entropy=CrossEntropyConfig(weight=0.1)))
    loss(twin(x, lengths), labels)[0].backward()
    return torch.cat(
        [p.grad.flatten().double().cpu() for p in twin.parameters() if p.grad is not None]
    )


def gap(found: Tensor, wanted: Tensor) -> float:
    """Relative error of the norm."""
    return float((found.double().cpu() - wanted).norm() / wanted.norm())


def scores(task: Task, store: GaitStore) -> dict[str, Any]:
    """A dozen architectures scored on the device and on the CPU."""
    space, found = load_space("nano"), {}
    archs = population(space, 3 if task.small else 12)
    cpu = torch.device("cpu")
    for precision in ("float32", "bfloat16"):
        sides = [
            {arch: metrics["map"] for arch, metrics, _ in scorer.score_all(archs)}
            for scorer in (
                scorer_of(space, store, cpu, "float32", 8),
                scorer_of(space, store, task.device, precision, 8),
            )
        ]
        wanted, ours = ([side[arch] for arch in archs] for side in sides)
        found[precision] = {
            "largest_gap_map": float(np.abs(np.subtract(wanted, ours)).max()),
            "kendall": kendall(np.array(wanted), np.array(ours)),
        }
    return found


def resumed(task: Task, store: GaitStore) -> dict[str, Any]:
    """Whether an interrupted training ends with the same bytes as an uninterrupted one."""
    found: dict[str, Any] = {}
    for strict in (False, True):
        torch.use_deterministic_algorithms(strict)
        try:
            whole, halves = trained(task, store, (12,)), trained(task, store, (6, 12))
        finally:
            torch.use_deterministic_algorithms(False)
        equal = all(torch.equal(whole[key], halves[key]) for key in whole)
        found["deterministic kernels" if strict else "as it is"] = {"equal_bytes": equal}
    return found


def trained(task: Task, store: GaitStore, stops: tuple[int, ...]) -> dict[str, Tensor]:
    """The weights of a nano training that was stopped and resumed at these steps."""
    space = load_space("nano")
    recipe = TrainConfig(
        steps=stops[-1],
        batch=BatchConfig(ids=2, seqs=2, frames=8),
        schedule=ScheduleConfig(kind="constant"),
        augment=AugmentConfig(flip=0.5, rotate=0.5),
        checkpoint_every=stops[0],
    )
    indices = [i for i, s in enumerate(store.sequences) if s.subset == "train"]
    with tempfile.TemporaryDirectory() as out:
        for stop in stops:
            torch.manual_seed(0)
            model = space.build((0, 5, 3, 0))
            training = Training(model, recipe, World(0, 1, task.device))
            loader = TrainLoader(store, indices, recipe.batch, recipe.augment, space.size, seed=0)
            stream = loader.stream
            # Interrupted at a stop: batches end just after a checkpoint is written.
            loader.stream = lambda start, _, stop=stop, stream=stream: stream(start, stop)
            fit(training, loader, Path(out), resume=True)
    return {key: value.cpu() for key, value in model.state_dict().items()}


def faults(found: dict[str, Any]) -> list[str]:
    """Networks that failed, and errors beyond their bounds."""
    bad = []
    for name, row in found["networks"].items():
        if "failed" in row:
            bad.append(f"{name}: {row['failed']}")
            continue
        for key, value in row.items():
            kind, precision, _ = key.split()
            if kind == "gradient":
                bound = GRADIENT_BOUND if precision == "float64" else float("inf")
            else:
                bound = BOUNDS[precision]
            if not value <= bound:
                bad.append(f"{name}: {key} {value:.1e} > {bound:.0e}")
    return bad


def table(found: dict[str, Any]) -> list[str]:
    """The largest error of each kind, errors beyond their bounds, and the rest."""
    kinds: dict[str, float] = {}
    for row in found["networks"].values():
        for key, value in row.items():
            if key != "failed":
                kinds[key] = max(kinds.get(key, 0.0), value)
    lines = [f"{key:28}{value:10.1e} at most" for key, value in sorted(kinds.items())]
    lines += [f"BEYOND ITS BOUND: {line}" for line in faults(found)]
    lines += [f"left out: {name}" for name in found["left_out"]]
    return [*lines, f"scores: {found['scores']}", f"resumed: {found['resumed']}"]
