"""Reads the recorded outputs of published networks and rebuilds the weights that gave them."""

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nasgait.config.schema import CrossEntropyConfig, LossConfig, TripletConfig
from nasgait.nn.losses import GaitLoss

SMOOTHING = 0.1
"""Label smoothing that the published cross-entropy applies unless told otherwise."""


@dataclass
class Case:
    """One record: what was built, with which weights, and what came out."""

    facts: dict
    table: dict
    arrays: dict[str, np.ndarray]
    config: dict
    salt: str
    loss: list | dict

    @classmethod
    def load(cls, folder: Path, name: str) -> "Case":
        record = json.loads((folder / f"{name}.json").read_text())
        with np.load(folder / f"{name}.npz") as archive:
            arrays = dict(archive)
        return cls(
            facts=record["facts"],
            table=record["state_dict"],
            arrays=arrays,
            config=record["config"],
            salt=record["weight_salt"],
            loss=record["loss_cfg"],
        )

    def weight(self, name: str) -> torch.Tensor:
        """The reference's tensor of this name, by the rule of the README beside the records."""
        shape, _, kind, fan_in = self.table[name]
        if kind == "counter":
            return torch.zeros(shape, dtype=torch.int64)
        f = np.float32
        rng = np.random.default_rng(zlib.crc32((self.salt + name).encode()))
        z = rng.standard_normal(shape).astype(f)
        values = {
            "weight": lambda: z * f(1 / math.sqrt(fan_in)),
            "bias": lambda: z * f(0.1),
            "bn_weight": lambda: f(1) + f(0.1) * z,
            "bn_bias": lambda: z * f(0.1),
            "bn_mean": lambda: z * f(0.1),
            "bn_var": lambda: f(1) + f(0.1) * np.abs(z),
            "gem_p": lambda: f(6.5) + f(0.1) * z,
        }[kind]()
        return torch.from_numpy(np.asarray(values, dtype=f).reshape(shape))

    def fill(self, model: nn.Module, names) -> None:
        """Load the reference's weights; ``names`` maps our key to the reference's."""
        model.load_state_dict({key: self.weight(names(key)) for key in model.state_dict()})

    def silhouettes(self, key: str) -> torch.Tensor:
        """Network input: uint8 divided by 255."""
        return torch.from_numpy((self.arrays[key] / 255.0).astype(np.float32))


def close(ours: torch.Tensor, wanted: np.ndarray, tolerance: float) -> None:
    """Compare at a tolerance relative to the largest magnitude of the wanted array."""
    ours = ours.detach().cpu().numpy()
    assert ours.shape == wanted.shape
    scale = np.abs(wanted).max()
    gap = np.abs(ours.astype(np.float64) - wanted).max() / scale
    assert gap <= tolerance, f"relative gap {gap:.2e} above {tolerance:.0e}"


def check_outputs(case: Case, model: nn.Module) -> None:
    """Hold embeddings and logits of every recorded input against the record."""
    model.eval()
    with torch.no_grad():
        for kind in ("eval", "long", "t1", "t2"):
            if f"x_{kind}" in case.arrays:
                _check(case, kind, "", model(case.silhouettes(f"x_{kind}")), 2e-5)
        model.double()
        rows = len(case.arrays["emb_eval_f64"])
        _check(case, "eval", "_f64", model(case.silhouettes("x_eval")[:rows].double()), 1e-10)
        model.float()


def check_training(case: Case, model: nn.Module) -> None:
    """Hold training-mode outputs and the running statistics against the record."""
    # Batch statistics amplify the rounding of float32: the widest record is 8e-6 from its own
    # float64, and ours 1e-5 on some machines.  What is computed is held in float64.
    for suffix, tolerance in (("", 1e-4), ("_f64", 1e-10)):
        if not {f"emb_train{suffix}", f"logits_train{suffix}"} & case.arrays.keys():
            continue
        x = case.silhouettes("x_train")
        if suffix:
            model, x = model.double(), x.double()
        model.train()
        with torch.no_grad():
            _check(case, "train", suffix, model(x), tolerance)


def check_gradients(case: Case, model: nn.Module, names) -> None:
    """Hold loss and gradient norms of a training step in float64 against the record."""
    terms = case.loss if isinstance(case.loss, list) else [case.loss]
    weights = {term["type"]: term["loss_term_weight"] for term in terms}
    loss = GaitLoss(
        LossConfig(
            TripletConfig(weights["TripletLoss"], 0.2),
            CrossEntropyConfig(weights.get("CrossEntropyLoss", 0.0), 16.0, SMOOTHING),
        )
    )
    labels = torch.from_numpy(case.arrays["lab_train"])
    total, _ = loss(model.double().train()(case.silhouettes("x_train").double()), labels)
    total.backward()
    wanted = case.facts["train_grad_norm"]
    for key, parameter in model.named_parameters():
        norm = wanted[names(key)]
        found = float(parameter.grad.norm())
        assert abs(found - norm) <= 2e-3 * norm + 1e-6, f"{key}: {found} against {norm}"


def _check(case: Case, kind: str, suffix: str, output, tolerance: float) -> None:
    """Compare with what was recorded of this kind: embeddings, logits or both."""
    recorded = {"emb": output.embeddings, "logits": output.logits}
    keys = {name: f"{name}_{kind}{suffix}" for name in recorded}
    assert any(key in case.arrays for key in keys.values()), kind
    for name, key in keys.items():
        if key in case.arrays:
            close(recorded[name], case.arrays[key], tolerance)
