"""Converts published checkpoints to ours: ``nasgait convert``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from nasgait.compat import keys, opengait, selfgait, sposgait
from nasgait.compat.keys import Config, State
from nasgait.compat.published import Published, load_weights, unwrapped
from nasgait.config.load import dump_config, validate
from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.core.files import write_atomically
from nasgait.nn.base import GaitNetwork
from nasgait.training.checkpoint import FORMAT, load_checkpoint, save_checkpoint, sha256_of
from search_spaces.space import SearchSpace, load_space, space_names
from search_spaces.spec import SpaceSpec


@dataclass(frozen=True)
class Converted:
    """What was written."""

    kind: str
    """``network``, or ``supernet``."""
    title: str
    """The network's name, or the space's."""
    space: str | None = None
    """For networks of a search space: its name, or the file written for it."""


def convert(
    config: Config,
    checkpoint: str | Path,
    out: str | Path,
    variant: str | None = None,
    arch: Sequence[int] | None = None,
) -> Converted:
    """Write a published checkpoint as one of ours.

    Args:
        config: the published YAML file as a dict.
        checkpoint: the published file, or a bare state dict.  Of SelfGait's, which hold a state
            dict for each part, only the embedding network is kept.
        out: file to write; a search space that does not come with nasgait is written
            beside it, as ``<out>.space.yaml``.
        variant: which HSTL it is.
        arch: for SPOSGait, the path to keep; by default ``retrain.search_network`` of the
            config, and without that the whole supernet.

    Raises:
        ConfigError: a config that cannot be read, or an ``out`` that exists.
        CheckpointError: no checkpoint, or weights that do not match the config.
    """
    out = Path(out)
    if out.exists():
        raise ConfigError(f"{out}: exists; give another file")
    saved = load_checkpoint(checkpoint)
    if selfgait.holds(saved):
        name, published = "SelfGait", selfgait.published(config, saved)
        model: GaitNetwork = selfgait.load(config, saved)
    else:
        state = unwrapped(weights(saved, checkpoint))
        published = opengait.read(config, state, variant)
        name, model = keys.section(config, "model_cfg")["model"], published.build()
        load_weights(model, state, published.rules)
    if variant is not None and not str(published.model).startswith("hstl"):
        raise ConfigError("--variant: only HSTL's networks come in variants; leave it out")
    payload: dict[str, Any] = {
        "format": FORMAT,
        "num_classes": published.num_classes,
        "step": int(saved.get("iteration", 0)) if isinstance(saved.get("iteration"), int) else 0,
        "published": {"sha256": sha256_of(checkpoint), "model": name},
    }
    if published.space is None:
        if arch is not None:
            raise ConfigError("--arch: only SPOSGait's supernets hold several paths")
        payload |= hand_designed(published) | {"model": model.state_dict()}
        done = Converted("network", str(published.model))
    else:
        named, done = searched(config, published, arch, out)
        payload |= named | {"model": kept(model.state_dict(), named, published)}
    save_checkpoint(out, payload)
    return done


def weights(saved: Mapping[str, Any], path: str | Path) -> State:
    """The state dict of a published checkpoint: its ``model`` entry, or the whole file."""
    found = saved.get("model", saved)
    if not isinstance(found, Mapping) or not found:
        raise CheckpointError(f"{path}: has no weights under 'model'; take another file")
    strange = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if strange:
        raise CheckpointError(
            f"{path}: {strange[0]!r} is not a tensor; the weights must be under 'model' or "
            "make up the whole file"
        )
    return found


def hand_designed(published: Published) -> dict[str, Any]:
    """A checkpoint's entries for a hand-designed network."""
    return {
        "kind": "network",
        "arch": None,
        "space": None,
        "space_sha256": None,
        "model_name": published.model,
        "settings": dict(published.settings),
    }


def searched(
    config: Config, published: Published, arch: Sequence[int] | None, out: Path
) -> tuple[dict[str, Any], Converted]:
    """A checkpoint's entries for a supernet or one of its paths, and what to report."""
    settings = keys.section(config, "model_cfg")
    limits = settings.get("choice_max_num")
    if not isinstance(limits, Sequence):
        raise ConfigError("model_cfg.choice_max_num: missing; it says how many blocks a layer had")
    path = arch if arch is not None else (config.get("retrain") or {}).get("search_network")
    space = known_space(sposgait.space(settings, limits, keys.frame_size(config)), out)
    named = {"space": space.source, "space_sha256": space.sha256}
    if path is None:
        return {"kind": "supernet", **named}, Converted("supernet", space.name, space.source)
    chosen = space.architecture(path)
    return (
        {"kind": "network", "arch": str(chosen), "model_name": None, "settings": {}, **named},
        Converted("network", str(chosen), space.source),
    )


def known_space(described: dict[str, Any], out: Path) -> SearchSpace:
    """The space that comes with nasgait, or one written beside ``out``."""
    spec = validate(described, SpaceSpec, "published space")
    for name in space_names():
        shipped = load_space(name)
        if replace(spec, name=name).sha256 == shipped.sha256:
            return shipped
    path = out.with_name(f"{out.name}.space.yaml")
    write_atomically(path, dump_config(spec))
    return load_space(path.resolve())


def kept(
    state: Mapping[str, Tensor], named: Mapping[str, Any], published: Published
) -> dict[str, Tensor]:
    """The weights of the blocks that the space or the path keeps."""
    space = load_space(named["space"])
    classes = published.num_classes
    model = space.build(space.parse(named["arch"]), classes) if named.get("arch") else None
    wanted = (model or space.supernet(classes)).state_dict()
    # Cloned, or a path would save the memory of the whole supernet with it.
    return {name: state[name].clone() for name in wanted}
