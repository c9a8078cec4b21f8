"""OpenGait's ``Baseline`` with a residual backbone: GaitBase."""

from collections.abc import Mapping
from typing import Any

from nasgait.compat import keys
from nasgait.compat.keys import Config, State
from nasgait.compat.published import NECK, Published
from nasgait.core.errors import ConfigError

STAGES = 4
DEFAULTS = {"channels": (32, 64, 128, 256), "layers": (1, 2, 2, 1), "strides": (1, 2, 2, 1)}
"""Defaults of the published backbone."""

RULES = (
    (r"Backbone\.forward_block\.conv1\.conv\.", "conv1."),
    (r"Backbone\.forward_block\.bn1\.", "bn1."),
    *((rf"Backbone\.forward_block\.layer{i + 1}\.", f"stages.{i}.") for i in range(STAGES)),
    (r"FCs\.fc_bin", "fcs.fc_bin"),
    *NECK,
)


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``model_cfg``: backbone_cfg, bin_num, SeparateFCs, SeparateBNNecks."""
    settings = keys.section(config, "model_cfg")
    keys.one_channel(settings, "backbone_cfg", "in_channel")
    block = keys.need(settings, "backbone_cfg", "block")
    if block != "BasicBlock":
        raise ConfigError(f"model_cfg.backbone_cfg.block: {block!r}; known is BasicBlock")
    bins, channels = keys.naturals(settings, "bin_num"), stages(settings, "channels")
    # A stage of 0 blocks is left out.
    given = settings["backbone_cfg"].get("layers", DEFAULTS["layers"])
    layers = keys.depths(given, "backbone_cfg.layers", STAGES)
    # A stage without blocks leaves the channels as they are.
    width = [channels[0], *(c for c, count in zip(channels, layers, strict=True) if count)][-1]
    return Published(
        rules=RULES,
        num_classes=keys.identities(settings, state),
        model="gaitbase",
        settings={
            "channels": channels,
            "layers": layers,
            "strides": stages(settings, "strides"),
            "maxpool": keys.flag(settings, True, "backbone_cfg", "maxpool"),
            "size": keys.frame_size(config),
            "bins": bins,
            "embedding": keys.embedding_channels(settings, width, sum(bins)),
            "normalise_fcs": keys.flag(settings, False, "SeparateFCs", "norm"),
            **keys.neck(settings),
        },
    )


def stages(settings: Mapping[str, Any], key: str) -> tuple[int, ...]:
    """Four positive integers of ``backbone_cfg``, or the published default."""
    if key not in settings["backbone_cfg"]:
        return DEFAULTS[key]
    return keys.naturals(settings, "backbone_cfg", key, count=STAGES)
