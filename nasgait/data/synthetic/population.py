"""Who walks, when, and from where they are seen: identities, twins and the presets' plans."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nasgait.core.errors import ConfigError
from nasgait.core.rng import generator
from nasgait.data.synthetic.body import Body, draw_body
from nasgait.data.synthetic.motion import Dynamics, draw_dynamics

SUBSETS = ("train", "search-val", "test")
_PREFIX = {"train": "tr", "search-val": "va", "test": "te"}
YAW_BINS = 6
LAB_VIEWS = tuple(range(0, 181, 18))


@dataclass(frozen=True)
class Preset:
    """A plan: identities in each subset and the kinds of walks of each identity."""

    ids: tuple[int, int, int]
    kinds: tuple[str, ...]
    wild: bool


_WILD = ("nm-01", "nm-02", "bg-01", "cl-01", "sp-01", "oc-01")
_LAB = tuple(
    f"{kind}-{take:02d}"
    for take in range(1, 7)
    for kind in ("nm", "bg", "cl")
    if kind == "nm" or take <= 2
)
PRESETS = {
    "wild": Preset((240, 240, 400), _WILD, True),
    "wild-mini": Preset((60, 60, 100), _WILD, True),
    "lab": Preset((50, 24, 50), _LAB, False),
}


@dataclass(frozen=True)
class Identity:
    """A walker: the ``number``-th of a subset."""

    subset: str
    number: int

    @property
    def label(self) -> str:
        """``tr``, ``va`` or ``te`` and the number."""
        return f"{_PREFIX[self.subset]}{self.number:04d}"

    @property
    def kin(self) -> str:
        """``body-twin`` (same body as its partner), ``dynamics-twin`` (same walk) or ``single``.

        Of every eight, the first two are twins in body, the next two twins in dynamics.
        """
        return ("body-twin", "dynamics-twin", "single", "single")[self.number % 8 // 2]

    def body(self, seed: int) -> Body:
        """The walker's body; shared by twins in body."""
        return _body(seed, self.subset, self.number - (self.kin == "body-twin") * (self.number % 2))

    def dynamics(self, seed: int) -> Dynamics:
        """How the walker moves; shared by twins in dynamics."""
        elder = self.number - (self.kin == "dynamics-twin") * (self.number % 2)
        return _dynamics(seed, self.subset, elder)


@lru_cache(maxsize=4)
def _body(seed: int, subset: str, number: int) -> Body:
    return draw_body(generator(seed, "body", subset, number))


@lru_cache(maxsize=4)
def _dynamics(seed: int, subset: str, number: int) -> Dynamics:
    return draw_dynamics(generator(seed, "dynamics", subset, number))


def identity_of(label: str) -> Identity:
    """The walker that a label names (the inverse of :attr:`Identity.label`)."""
    subset = {prefix: name for name, prefix in _PREFIX.items()}[label[:2]]
    return Identity(subset, int(label[2:]))


@dataclass(frozen=True)
class Recording:
    """One walk of an identity and the views it is seen from: (name, yaw bin or degrees)."""

    identity: Identity
    walk: int
    type: str
    views: tuple[tuple[str, float], ...]


def preset_named(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: {name!r} is unknown; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def identities(preset: Preset, ids: int | None) -> list[Identity]:
    """All walkers, subset by subset; another total keeps the preset's proportions."""
    total = sum(preset.ids)
    ends = np.cumsum(preset.ids) * (total if ids is None else ids) / total
    counts = np.diff(np.round(ends).astype(int), prepend=0)
    return [
        Identity(subset, number)
        for subset, count in zip(SUBSETS, counts, strict=True)
        for number in range(count)
    ]


def walk_types(preset: Preset, seqs: int | None) -> list[str]:
    """Types of the first ``seqs`` walks; the preset's kinds repeat."""
    seen: dict[str, int] = {}
    types = []
    for walk in range(len(preset.kinds) if seqs is None else seqs):
        kind = preset.kinds[walk % len(preset.kinds)][:2]
        seen[kind] = seen.get(kind, 0) + 1
        types.append(f"{kind}-{seen[kind]:02d}")
    return types


def yaw_bin(identity: Identity, walk: int, seed: int) -> int:
    """Sixth of the circle in which a walk in the wild is seen.

    Six successive identities share an order of the bins, rotated by one from identity to
    identity: a Latin square, in which every kind of walk meets every bin once.
    """
    block, turn = divmod(identity.number, YAW_BINS)
    lap, place = divmod(walk, YAW_BINS)
    order = generator(seed, "yaw", identity.subset, block, lap).permutation(YAW_BINS)
    return int((order[place] + turn) % YAW_BINS)


def recordings(preset: Preset, ids: int | None, seqs: int | None, seed: int) -> Iterator[Recording]:
    """The whole plan, in the order of the store."""
    types = walk_types(preset, seqs)
    for identity in identities(preset, ids):
        for walk, kind in enumerate(types):
            if preset.wild:
                sixth = yaw_bin(identity, walk, seed)
                views: tuple[tuple[str, float], ...] = ((f"{60 * sixth:03d}", sixth),)
            else:
                views = tuple((f"{degrees:03d}", degrees) for degrees in LAB_VIEWS)
            yield Recording(identity, walk, kind, views)
