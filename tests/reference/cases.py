"""Recorded networks: the weights that gave the numbers, and the numbers."""

import json
import math
import zlib
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from reference import folder, load_json, load_npz
from torch import Tensor, nn

from nasgait.compat import opengait
from nasgait.compat.published import rename
from nasgait.config.schema import CrossEntropyConfig, LossConfig, TripletConfig
from nasgait.nn.base import GaitNetwork
from nasgait.nn.losses import GaitLoss

SINGLE, DOUBLE = 2e-5, 1e-10
"""Relative tolerances in float32 and in float64."""

BATCH_LOGITS = 1e-4
"""Relative tolerance in float32 of logits behind a BatchNorm that takes its statistics from the
batch, which amplifies rounding: the widest record is 8e-6 from its own float64, ours 1e-5."""

WIDE = 6_000_000
"""Parameters from which on a case is a slow one."""


def names() -> list[str]:
    """Every record of a network that ``compat.opengait`` loads."""
    where = folder()
    if where is None:
        return []
    found = {path.stem: json.loads(path.read_text()) for path in sorted(where.glob("*.json"))}
    # SelfGait's record holds several networks, which ``compat.selfgait`` loads.
    return [name for name, record in found.items() if isinstance(record.get("num_parameters"), int)]


def wide(name: str) -> bool:
    """Whether the network has too many parameters for the default tests."""
    return bool(load_json(name)["num_parameters"] > WIDE)


def rebuilt(table: dict, salt: str = "") -> dict[str, Tensor]:
    """The recorded weights, by the rule of the README beside the records."""
    return {name: _tensor(salt + name, *entry) for name, entry in table.items()}


def _tensor(name: str, shape: list[int], dtype: str, kind: str, fan_in: int) -> Tensor:
    if kind == "counter":
        return torch.zeros(shape, dtype=torch.int64)
    f = np.float32
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(f)
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


@dataclass
class Case:
    """One record: what was built, with which weights, and what came out."""

    name: str
    facts: dict
    table: dict
    arrays: dict[str, np.ndarray]
    config: dict
    arch: list[int] | None
    salt: str
    terms: list[dict]
    parameters: int

    @classmethod
    def load(cls, name: str) -> "Case":
        record = load_json(name)
        config = dict(record["config"])
        arch, terms = config.pop("cand", None), record["loss_cfg"]
        return cls(
            name=name,
            facts=record["facts"],
            table=record["state_dict"],
            arrays=load_npz(name),
            config=config,
            arch=arch,
            salt=record["weight_salt"],
            terms=terms if isinstance(terms, list) else [terms],
            parameters=record["num_parameters"],
        )

    @property
    def variant(self) -> str | None:
        """Which HSTL it is."""
        family, _, rest = self.name.partition("_")
        return {"casiab": "casia-b"}.get(rest, rest) if family == "hstl" else None

    @property
    def state(self) -> dict[str, Tensor]:
        """The published weights under their published names."""
        return rebuilt(self.table, self.salt)

    def model(self) -> GaitNetwork:
        """The network, loaded as a user would."""
        model = opengait.load(self.config, self.state, self.variant)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # as it was recorded
        return model

    def runs(self, model: GaitNetwork):
        """The call of the recorded path."""
        return model if self.arch is None else partial(model, arch=self.arch)

    def ours(self) -> dict[str, str]:
        """Our name of each published one."""
        rules = opengait.read(self.config, self.state, self.variant).rules
        return {
            published: our for our, published in rename({n: n for n in self.table}, rules).items()
        }

    def silhouettes(self, key: str) -> Tensor:
        """Network input: uint8 divided by 255."""
        return torch.from_numpy((self.arrays[key] / 255.0).astype(np.float32))

    def loss(self) -> GaitLoss:
        """The loss that was recorded; smoothing is on unless a term says otherwise."""
        terms = {term["type"]: term for term in self.terms}
        triplet, entropy = terms["TripletLoss"], terms.get("CrossEntropyLoss")
        return GaitLoss(
            LossConfig(
                triplet=TripletConfig(triplet["loss_term_weight"], triplet["margin"]),
                cross_entropy=CrossEntropyConfig(0.0)
                if entropy is None
                else CrossEntropyConfig(
                    entropy["loss_term_weight"],
                    float(entropy["scale"]),
                    0.1 if entropy.get("label_smooth", True) else 0.0,
                ),
            )
        )


def close(ours: Tensor, wanted: np.ndarray, tolerance: float) -> None:
    """Compare at a tolerance relative to the largest magnitude of the wanted array."""
    found = ours.detach().cpu().numpy()
    assert found.shape == wanted.shape
    gap = np.abs(found.astype(np.float64) - wanted).max() / np.abs(wanted).max()
    assert gap <= tolerance, f"relative gap {gap:.2e} above {tolerance:.0e}"
