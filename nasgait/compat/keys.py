"""The keys of a published config, checked as they are read: each fault is a ConfigError."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nasgait.core.errors import CheckpointError, ConfigError

Config = Mapping[str, Any]
"""A published YAML file: ``data_cfg``, ``model_cfg``, ..."""
State = Mapping[str, Tensor]
"""Published weights by their names."""


def section(config: Config, key: str) -> Mapping[str, Any]:
    """A section of a published config; ConfigError when it is missing or holds no keys."""
    found = config.get(key)
    if not isinstance(found, Mapping):
        raise ConfigError(f"{key}: the published config has no such section")
    return found


def need(settings: Mapping[str, Any], *path: str) -> Any:
    """The value at a path of keys below ``model_cfg``; ConfigError when it is missing."""
    here: Any = settings
    for depth, key in enumerate(path):
        if not isinstance(here, Mapping) or key not in here:
            raise ConfigError(f"model_cfg.{'.'.join(path[: depth + 1])}: missing")
        here = here[key]
    return here


def natural(settings: Mapping[str, Any], *path: str) -> int:
    """The positive integer at a path of keys below ``model_cfg``; ConfigError for others."""
    found = need(settings, *path)
    if not _is_natural(found):
        raise ConfigError(f"model_cfg.{'.'.join(path)}: {found!r}; give a positive integer")
    return int(found)


def naturals(settings: Mapping[str, Any], *path: str, count: int | None = None) -> tuple[int, ...]:
    """The list of (``count``) positive integers at a path; ConfigError for others."""
    found = need(settings, *path)
    listed = isinstance(found, list | tuple) and len(found) > 0
    if not listed or count not in (None, len(found)) or not all(map(_is_natural, found)):
        wanted = "a list of" if count is None else f"{count}"
        raise ConfigError(f"model_cfg.{'.'.join(path)}: {found!r}; give {wanted} positive integers")
    return tuple(found)


def flag(settings: Mapping[str, Any], default: bool, *path: str) -> bool:
    """The switch at a path, ``default`` where its last key is left out; ConfigError for others."""
    holder = need(settings, *path[:-1])
    found = holder.get(path[-1], default) if isinstance(holder, Mapping) else None
    if not isinstance(found, bool):
        raise ConfigError(f"model_cfg.{'.'.join(path)}: {found!r}; give true or false")
    return found


def one_channel(settings: Mapping[str, Any], *path: str) -> None:
    """Raise ConfigError when the published network takes images of several channels."""
    holder = need(settings, *path[:-1])
    if holder.get(path[-1], 1) != 1:
        raise ConfigError(
            f"model_cfg.{'.'.join(path)}: {holder[path[-1]]!r}; networks here take silhouettes, "
            "one channel"
        )


def embedding_channels(settings: Mapping[str, Any], channels: int, parts: int) -> int:
    """``SeparateFCs.out_channels``.

    Raises ConfigError when its other keys differ from the ``channels`` and ``parts`` that the
    layers before it give.
    """
    for key, wanted in (("in_channels", channels), ("parts_num", parts)):
        found = natural(settings, "SeparateFCs", key)
        if found != wanted:
            raise ConfigError(
                f"model_cfg.SeparateFCs.{key}: {found}, but the layers before it give {wanted}"
            )
    return natural(settings, "SeparateFCs", "out_channels")


def neck(settings: Mapping[str, Any]) -> dict[str, bool]:
    """The switches of SeparateBNNecks, as the networks here call them."""
    return {
        "cosine": flag(settings, True, "SeparateBNNecks", "norm"),
        "joint_norm": flag(settings, True, "SeparateBNNecks", "parallel_BN1d"),
    }


def check_neck(settings: Mapping[str, Any], embedding: int, parts: int) -> None:
    """Raise ConfigError when SeparateBNNecks are made for other features than these."""
    for key, wanted in (("in_channels", embedding), ("parts_num", parts)):
        if natural(settings, "SeparateBNNecks", key) != wanted:
            raise ConfigError(
                f"model_cfg.SeparateBNNecks.{key}: must be {wanted}, as the layers before it give"
            )


def after_silhouettes(settings: Mapping[str, Any]) -> tuple[int, ...]:
    """``in_channels`` after its first, which must be the one channel of silhouettes."""
    first, *channels = naturals(settings, "in_channels", count=4)
    if first != 1:
        raise ConfigError(
            f"model_cfg.in_channels: begins with {first}; silhouettes are one channel"
        )
    return tuple(channels)


def depths(found: Any, path: str, stages: int) -> tuple[int, ...]:
    """The value at ``path`` as numbers of blocks, 0 or more for each stage."""
    listed = isinstance(found, list | tuple) and len(found) == stages
    if not listed or not all(type(count) is int and count >= 0 for count in found):
        raise ConfigError(f"model_cfg.{path}: {found!r}; give {stages} counts")
    return tuple(found)


def frame_size(config: Config) -> tuple[int, int]:
    """Height and width of the silhouettes after ``evaluator_cfg.transform``; 64 x 44 by default.

    ``BaseSilCuttingTransform`` cuts ``cutting`` columns off each side, or ten for every 64 of
    ``img_w``.
    """
    evaluator = config.get("evaluator_cfg")
    steps = evaluator.get("transform") if isinstance(evaluator, Mapping) else None
    side, cutting = 64, None
    for step in steps if isinstance(steps, list | tuple) else ():
        if isinstance(step, Mapping) and step.get("type") == "BaseSilCuttingTransform":
            side, cutting = step.get("img_w", side), step.get("cutting")
    if not _is_natural(side) or side < 64:
        raise ConfigError(f"evaluator_cfg.transform: img_w {side!r}; give 64, 128, ...")
    if cutting is None:
        cutting = side // 64 * 10
    if (cutting != 0 and not _is_natural(cutting)) or 2 * cutting >= side:
        raise ConfigError(
            f"evaluator_cfg.transform: cutting {cutting!r}; give 0 to {side // 2 - 1} columns"
        )
    return int(side), int(side - 2 * cutting)


def _is_natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def identities(
    settings: Mapping[str, Any],
    state: State,
    name: str = "BNNecks.fc_bin",
    path: Sequence[str] = ("SeparateBNNecks", "class_num"),
) -> int | None:
    """Identities of the classifier; None for weights without one.

    Raises ConfigError when the key is missing, and CheckpointError when the weights have another
    number of classes.
    """
    wanted, found = natural(settings, *path), classes(state, name)
    if found not in (None, wanted):
        raise CheckpointError(
            f"model_cfg.{'.'.join(path)}: {wanted}, but the weights have {found} classes"
        )
    return found


def classes(state: State, name: str = "BNNecks.fc_bin") -> int | None:
    """Identities of a classifier stored as [parts, channels, classes]; None without one."""
    return int(state[name].shape[-1]) if name in state else None
