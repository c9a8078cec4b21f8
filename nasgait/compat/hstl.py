"""HSTL's three networks.

Their published code does not run.  The one for Gait3D builds its layers only if the data set is
called OU-MVLP, which its own config does not do; the data set's name is ignored here.
"""

from dataclasses import dataclass
from typing import Any

from nasgait.compat import keys
from nasgait.compat.gaitgl import EMBEDDING, LINEAR, linear
from nasgait.compat.keys import Config, State
from nasgait.compat.published import Published
from nasgait.core.errors import ConfigError


@dataclass(frozen=True)
class Layout:
    """What one of the three networks is called, and the length of its list of channels."""

    cls: str
    """The published class."""
    model: str
    """Its name in the registry."""
    channels: int
    """Length of ``model_cfg.channels``."""


LAYOUTS = {
    "casia-b": Layout("HSTL", "hstl", 3),
    "oumvlp": Layout("HSTL_OU", "hstl-oumvlp", 4),
    "gait3d": Layout("HSTL_Gait3D", "hstl-gait3d", 4),
}

RULES = (
    (r"arme1\.0\.conv3d\.", "stem.0."),
    (r"arme1\.2\.conv3d\.", "stem.1."),
    *(
        (rf"arme{stage + 2}\.(\d)\.conv3d\.(\d)\.conv3d\.", rf"stages.{stage}.convs.\1.regions.\2.")
        for stage in range(3)
    ),
    (r"fta\.mma\.(\d)\.fcs\.0\.", r"aggregation.gates.\1.short."),
    (r"fta\.mma\.(\d)\.fcs\.1\.", r"aggregation.gates.\1.long."),
    *(
        rule
        for level, name in enumerate(("astp1", "astp2", "astp2_fta", "astp3", "astp4"))
        for rule in (
            (rf"{name}\.proj\.conv\.", f"pools.{level}.project."),
            (rf"{name}\.hpp\.(\d)\.p", rf"pools.{level}.gem.p.\1"),
        )
    ),
    (r"HPP\.p", "rows.p"),
    *EMBEDDING,
    *LINEAR,
)


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``model_cfg``: channels, class_num; ``variant`` or else the class decides."""
    settings = keys.section(config, "model_cfg")
    if variant is None:
        variant = next(name for name, v in LAYOUTS.items() if v.cls == settings["model"])
    if variant not in LAYOUTS:
        raise ConfigError(f"variant: {variant!r}; HSTL's are {', '.join(LAYOUTS)}")
    layout = LAYOUTS[variant]
    return Published(
        rules=RULES,
        num_classes=linear(settings, state),
        model=layout.model,
        settings=layers(variant, keys.naturals(settings, "channels", count=layout.channels)),
    )


def layers(variant: str, channels: tuple[int, ...]) -> dict[str, tuple[Any, ...]]:
    """The channels of every convolution."""
    first, second, *more = channels
    if variant == "casia-b":
        return {"stem": (first,), "stages": ((first, second), (more[0], more[0]))}
    return {"stem": (first, first), "stages": tuple((width, width) for width in (second, *more))}
