"""OpenGait's DeepGaitV2."""

from nasgait.baselines.deepgaitv2 import BLOCKS
from nasgait.compat.published import (
    NECK,
    Config,
    Published,
    State,
    classes,
    flag,
    frame_size,
    identities,
    naturals,
    need,
    one_channel,
    section,
)
from nasgait.errors import CheckpointError, ConfigError

STAGES = 4


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """``model_cfg``: Backbone (mode, in_channels, layers, channels), SeparateBNNecks, use_emb2."""
    settings = section(config, "model_cfg")
    mode = need(settings, "Backbone", "mode")
    if mode not in BLOCKS:
        raise ConfigError(f"model_cfg.Backbone.mode: {mode!r}; known are {', '.join(BLOCKS)}")
    need(settings, "Backbone", "in_channels")
    one_channel(settings, "Backbone", "in_channels")
    after_neck = flag(settings, False, "use_emb2")
    if after_neck and state and classes(state) is None:
        raise CheckpointError(
            "model_cfg.use_emb2: true, but the weights have no BNNecks; give the checkpoint that "
            "has them, or use_emb2: false"
        )
    return Published(
        rules=rules(mode),
        num_classes=identities(settings, state),
        model="deepgaitv2",
        settings={
            "mode": mode,
            "channels": naturals(settings, "Backbone", "channels", count=STAGES),
            "layers": naturals(settings, "Backbone", "layers", count=STAGES),
            "size": frame_size(config),
            "after_neck": after_neck,
        },
    )


def rules(mode: str) -> list[tuple[str, str]]:
    """From ``layer2.0.conv1.forward_block.0.`` to ``stages.1.0.conv1.``."""
    found = [
        (r"layer0\.forward_block\.0\.", "conv1."),
        (r"layer0\.forward_block\.1\.", "bn1."),
        (r"layer1\.forward_block\.", "stages.0."),
    ]
    for layer in range(2, STAGES + 1):
        block, ours = rf"layer{layer}\.(\d+)\.", rf"stages.{layer - 1}.\1."
        if mode == "2d":
            found.append((rf"layer{layer}\.forward_block\.", f"stages.{layer - 1}."))
            continue
        found += [
            (rf"{block}conv(\d)\.forward_block\.0\.", rf"{ours}conv\2."),
            (rf"{block}conv(\d)\.forward_block\.1\.", rf"{ours}bn\2."),
            (rf"{block}shortcut3d\.", rf"{ours}temporal."),
            (rf"{block}sbn\.", rf"{ours}temporal_bn."),
            (block, ours),
        ]
    return [*found, (r"FCs\.fc_bin", "fcs.fc_bin"), *NECK]
