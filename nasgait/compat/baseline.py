"""OpenGait's ``Baseline``: GaitBase with a residual backbone, or the one with a plain backbone."""

from collections.abc import Mapping
from typing import Any

from nasgait.compat import gaitbase, keys
from nasgait.compat.keys import Config, State
from nasgait.compat.published import NECK, Published
from nasgait.core.errors import ConfigError
from nasgait.nn.plain_backbone import ConvSpec, parse_layers


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``model_cfg.backbone_cfg.type``, which decides between the two."""
    kind = keys.need(keys.section(config, "model_cfg"), "backbone_cfg", "type")
    if kind == "ResNet9":
        return gaitbase.published(config, state, variant)
    if kind == "Plain":
        return plain(config, state)
    raise ConfigError(f"model_cfg.backbone_cfg.type: {kind!r}; known are Plain, ResNet9")


def plain(config: Config, state: State) -> Published:
    """Reads ``model_cfg``: backbone_cfg, bin_num, SeparateFCs, SeparateBNNecks."""
    settings = keys.section(config, "model_cfg")
    bins, convs = keys.naturals(settings, "bin_num"), backbone(settings)
    embedding = keys.embedding_channels(settings, channels(convs), sum(bins))
    keys.check_neck(settings, embedding, sum(bins))
    return Published(
        rules=(*backbone_rules(convs), (r"FCs\.fc_bin", "fcs.fc_bin"), *NECK),
        num_classes=keys.identities(settings, state),
        model="opengait-baseline",
        settings={
            "layers": tuple(settings["backbone_cfg"]["layers_cfg"]),
            "size": keys.frame_size(config),
            "bins": bins,
            "embedding": embedding,
            "normalise_fcs": keys.flag(settings, False, "SeparateFCs", "norm"),
            **keys.neck(settings),
        },
    )


def backbone(settings: Mapping[str, Any]) -> list[ConvSpec | None]:
    """The layers of a ``backbone_cfg`` of type Plain; ConfigError for other types."""
    kind, layers = (keys.need(settings, "backbone_cfg", key) for key in ("type", "layers_cfg"))
    keys.one_channel(settings, "backbone_cfg", "in_channels")
    if kind != "Plain":
        raise ConfigError(f"model_cfg.backbone_cfg.type: {kind!r}; {settings['model']} takes Plain")
    if not isinstance(layers, list | tuple):
        raise ConfigError(f"model_cfg.backbone_cfg.layers_cfg: {layers!r}; give a list of layers")
    try:
        return parse_layers(layers)
    except ConfigError as error:
        raise ConfigError(f"model_cfg.backbone_cfg.layers_cfg: {error}") from None


def channels(convs: list[ConvSpec | None]) -> int:
    """Channels of the backbone's output."""
    return [spec.channels for spec in convs if spec is not None][-1]


def backbone_rules(convs: list[ConvSpec | None]) -> list[tuple[str, str]]:
    """From ``Backbone.forward_block.feature.5.conv.`` to ``backbone.layers.3.``.

    The published numbers count the LeakyReLU after each convolution.
    """
    rules, place = [], 0
    for i, spec in enumerate(convs):
        if spec is not None:
            rules.append(
                (rf"Backbone\.forward_block\.feature\.{place}\.conv\.", f"backbone.layers.{i}.")
            )
        place += 1 if spec is None else 2
    return rules
