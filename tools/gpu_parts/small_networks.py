"""Small networks, whose kernels take less time than their launches: CUDA graphs and streams.

One architecture of ``nano`` trains on frames that are already on the device.  Its step copies
nothing back to the host, so that it can be captured: in a batch of P x K samples the places of all
triplets are known in advance.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_parts.machine import Task, synchronise
from nasgait.nn.losses import triplet_loss
from nasgait.nn.memory_format import to_channels_last
from nasgait.nn.pairwise import pairwise
from search_spaces import load_space

PATH = (0, 5, 5, 5)
SEQS, MARGIN = 4, 0.2
STEPS_OF_A_TRAINING = 800
"""The demo's retraining."""
COPIES = (1, 2, 4, 8, 16)


class SmallTraining:
    """A network, its optimiser and the frames that it learns from."""

    def __init__(self, frames: Tensor, ids: int, seed: int, precision: torch.dtype | None) -> None:
        torch.manual_seed(seed)
        self.device, self.frames, self.ids, self.precision = frames.device, frames, ids, precision
        self.model = to_channels_last(load_space("nano").build(PATH).to(self.device))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.chosen = torch.randint(len(frames), (ids * SEQS,), device=self.device)
        self.loss = torch.zeros((), device=self.device)
        positive = torch.arange(ids * SEQS).view(ids, SEQS).repeat_interleave(SEQS, 0)
        self.positive = positive.to(self.device)
        """[n, K]: the samples of each anchor's identity, itself included."""
        owner = torch.arange(ids).repeat_interleave(SEQS)
        self.other = (owner[:, None] != owner).to(self.device)

    def step(self) -> None:
        """One optimisation step on the chosen clips; nothing is copied to the host."""
        silhouettes = self.frames[self.chosen].float() / 255
        with torch.autocast(
            self.device.type, self.precision, self.precision is not None, cache_enabled=False
        ):
            embeddings = self.model(silhouettes).embeddings
        loss = self.triplets(embeddings)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.loss.copy_(loss.detach())

    def triplets(self, embeddings: Tensor) -> Tensor:
        """The batch-all triplet loss, without searching for the pairs."""
        distance = pairwise(embeddings.float().permute(2, 0, 1))
        near = distance.gather(2, self.positive.expand(len(distance), -1, -1))
        losses = F.relu(near[..., None] - distance[:, :, None] + MARGIN) * self.other[:, None]
        losses = losses.flatten(1)
        return (losses.sum(1) / (losses > 0).sum(1).clamp(min=1)).mean()

    def check(self) -> float:
        """Largest gap to the project's own triplet loss."""
        embeddings = torch.randn(self.ids * SEQS, 8, 3, device=self.device)
        labels = torch.arange(self.ids, device=self.device).repeat_interleave(SEQS)
        wanted = triplet_loss(embeddings, labels, MARGIN).loss.mean()
        return float((self.triplets(embeddings) - wanted).abs())

    def captured(self) -> Callable[[], None]:
        """The step as one CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay


def measured_small_networks(task: Task) -> dict[str, Any]:
    """Steps per second one by one, as a graph, and as several graphs side by side."""
    ids, device = (2 if task.small else 8), task.device
    torch.backends.cudnn.benchmark = True
    frames = torch.randint(0, 2, (64 if task.small else 2048, 16, 32, 22), device=device)
    frames = (frames * 255).to(torch.uint8)
    steps = 3 if task.small else 100
    found: dict[str, Any] = {"sequences": ids * SEQS, "steps": steps}
    for name, precision in (("float32", None), ("bfloat16", torch.bfloat16)):
        training = SmallTraining(frames, ids, 0, precision)
        found["triplet_gap"] = training.check()
        for _ in range(3):
            training.step()
        found[f"{name}, eager"] = speed(training.step, steps)
        if device.type == "cuda":
            for copies in COPIES:
                if not task.time_left():
                    break
                key = f"{name}, {copies} graphs"
                found[key] = side_by_side(frames, ids, copies, precision, steps)
    return found


def speed(step: Callable[[], None], steps: int) -> dict[str, float]:
    """Steps per second, and whole trainings per minute."""
    synchronise()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise()
    each = steps / (time.perf_counter() - began)
    return {"steps_per_second": each, "trainings_per_minute": 60 * each / STEPS_OF_A_TRAINING}


def side_by_side(
    frames: Tensor, ids: int, copies: int, precision: torch.dtype | None, steps: int
) -> dict[str, float]:
    """The same of several trainings in one process, each with a stream of its own."""
    trainings = [SmallTraining(frames, ids, seed, precision) for seed in range(copies)]
    replays = [training.captured() for training in trainings]
    streams = [torch.cuda.Stream() for _ in trainings]
    synchronise()
    began = time.perf_counter()
    for _ in range(steps):
        for stream, replay in zip(streams, replays, strict=True):
            with torch.cuda.stream(stream):
                replay()
    synchronise()
    each = copies * steps / (time.perf_counter() - began)
    losses = [float(training.loss) for training in trainings]
    return {
        "steps_per_second": each,
        "trainings_per_minute": 60 * each / STEPS_OF_A_TRAINING,
        "mean_loss": sum(losses) / copies,
    }


def table(found: dict[str, Any]) -> list[str]:
    """A line for each way to train."""
    return [
        f"{name:24}{row['steps_per_second']:10.0f} steps/s{row['trainings_per_minute']:10.1f} "
        "trainings a minute"
        for name, row in found.items()
        if isinstance(row, dict)
    ]
