"""OpenGait's GaitPart."""

from nasgait.compat import keys
from nasgait.compat.baseline import backbone, backbone_rules, channels
from nasgait.compat.keys import Config, State
from nasgait.compat.published import Published

MOTION = (
    (r"TFA\.pooling_func\.conv1d3x1\.(\d+)\.0\.conv\.weight", r"motion.short.squeeze.weights.\1"),
    (r"TFA\.pooling_func\.conv1d3x1\.(\d+)\.2\.conv\.weight", r"motion.short.expand.weights.\1"),
    (r"TFA\.pooling_func\.conv1d3x3\.(\d+)\.0\.conv\.weight", r"motion.long.squeeze.weights.\1"),
    (r"TFA\.pooling_func\.conv1d3x3\.(\d+)\.2\.conv\.weight", r"motion.long.expand.weights.\1"),
)


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``model_cfg``: backbone_cfg, bin_num, SeparateFCs."""
    settings = keys.section(config, "model_cfg")
    bins, convs = keys.naturals(settings, "bin_num"), backbone(settings)
    return Published(
        rules=(*backbone_rules(convs), *MOTION, (r"Head\.fc_bin", "fcs.fc_bin")),
        num_classes=None,
        model="gaitpart",
        settings={
            "layers": tuple(settings["backbone_cfg"]["layers_cfg"]),
            "size": keys.frame_size(config),
            "bins": bins,
            "embedding": keys.embedding_channels(settings, channels(convs), sum(bins)),
            "normalise_fcs": keys.flag(settings, False, "SeparateFCs", "norm"),
        },
    )
