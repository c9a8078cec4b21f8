"""Recordings and walkers of the embedded dataset, for its tests."""

from nasgait.core.rng import generator
from nasgait.data.synthetic.body import draw_body
from nasgait.data.synthetic.motion import draw_dynamics
from nasgait.data.synthetic.population import (
    PRESETS,
    recordings,
)
from nasgait.data.synthetic.walk import draw_walk


def plan(preset: str, **kwargs):
    """The recordings of a preset, as many as asked for."""
    settings = {"ids": None, "seqs": None, "seed": 0} | kwargs
    return list(recordings(PRESETS[preset], **settings))


def body_and_walk(kind: str = "nm", seed: int = 3):
    """Somebody, walking."""
    rng = generator(seed, "test")
    body, dynamics = draw_body(rng), draw_dynamics(rng)
    return body, draw_walk(kind, dynamics, False, rng)
