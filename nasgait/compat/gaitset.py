"""OpenGait's GaitSet."""

from nasgait.compat.published import NECK, Config, Published, State, classes, need, section

RULES = (
    (r"set_block(\d)\.forward_block\.0\.conv\.", r"block\1.conv1."),
    (r"set_block(\d)\.forward_block\.2\.conv\.", r"block\1.conv2."),
    (r"gl_block(\d)\.0\.conv\.", r"global\1.conv1."),
    (r"gl_block(\d)\.2\.conv\.", r"global\1.conv2."),
    (r"Head\.fc_bin", "fcs.fc_bin"),
    *NECK,
)


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """``model_cfg``: in_channels, bin_num, SeparateFCs."""
    settings = section(config, "model_cfg")
    return Published(
        rules=RULES,
        num_classes=classes(state),
        model="gaitset",
        settings={
            "channels": tuple(need(settings, "in_channels")[1:]),
            "bins": tuple(need(settings, "bin_num")),
            "embedding": need(settings, "SeparateFCs", "out_channels"),
        },
    )
