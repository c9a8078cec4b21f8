"""OpenGait's DeepGaitV2."""

from nasgait.baselines.deepgaitv2 import BLOCKS
from nasgait.compat import keys
from nasgait.compat.keys import Config, State
from nasgait.compat.published import NECK, Published
from nasgait.core.errors import CheckpointError, ConfigError

STAGES = 4


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``model_cfg``: Backbone, SeparateBNNecks, use_emb2."""
    settings = keys.section(config, "model_cfg")
    mode = keys.need(settings, "Backbone", "mode")
    if not isinstance(mode, str) or mode not in BLOCKS:
        raise ConfigError(f"model_cfg.Backbone.mode: {mode!r}; known are {', '.join(BLOCKS)}")
    num_classes = keys.identities(settings, state)
    after_neck = keys.flag(settings, False, "use_emb2")
    if after_neck and num_classes is None:
        raise CheckpointError(
            "model_cfg.use_emb2: takes the embedding after the BNNecks, but the weights have "
            "none; give the checkpoint that has them, or use_emb2: false"
        )
    keys.need(settings, "Backbone", "in_channels")
    keys.one_channel(settings, "Backbone", "in_channels")
    layers = keys.depths(keys.need(settings, "Backbone", "layers"), "Backbone.layers", STAGES)
    return Published(
        rules=rules(mode),
        num_classes=num_classes,
        model="deepgaitv2",
        settings={
            "mode": mode,
            "channels": keys.naturals(settings, "Backbone", "channels", count=STAGES),
            # The published network has a block also where its config says 0.
            "layers": tuple(max(1, count) for count in layers),
            "size": keys.frame_size(config),
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
        if mode == "3d":
            found.append((block, ours))
            continue
        found += [
            (rf"{block}conv(\d)\.forward_block\.0\.", rf"{ours}conv\2."),
            (rf"{block}conv(\d)\.forward_block\.1\.", rf"{ours}bn\2."),
            (rf"{block}shortcut3d\.", rf"{ours}temporal."),
            (rf"{block}sbn\.", rf"{ours}temporal_bn."),
            (block, ours),
        ]
    return [*found, (r"FCs\.fc_bin", "fcs.fc_bin"), *NECK]
