"""OpenGait's GaitSet."""

from nasgait.compat import keys
from nasgait.compat.keys import Config, State
from nasgait.compat.published import NECK, Published

RULES = (
    (r"set_block(\d)\.forward_block\.0\.conv\.", r"block\1.conv1."),
    (r"set_block(\d)\.forward_block\.2\.conv\.", r"block\1.conv2."),
    (r"gl_block(\d)\.0\.conv\.", r"global\1.conv1."),
    (r"gl_block(\d)\.2\.conv\.", r"global\1.conv2."),
    (r"Head\.fc_bin", "fcs.fc_bin"),
    *NECK,
)


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``model_cfg``: in_channels, bin_num, SeparateFCs."""
    settings = keys.section(config, "model_cfg")
    channels = keys.after_silhouettes(settings)
    bins = keys.naturals(settings, "bin_num")
    return Published(
        rules=RULES,
        num_classes=keys.classes(state),
        model="gaitset",
        settings={
            "channels": channels,
            "size": keys.frame_size(config),
            "bins": bins,
            # Strips of frames and strips of the set.
            "embedding": keys.embedding_channels(settings, channels[-1], 2 * sum(bins)),
            "normalise_fcs": keys.flag(settings, False, "SeparateFCs", "norm"),
        },
    )
