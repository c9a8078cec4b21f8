"""OpenGait's GaitGL."""

from nasgait.compat import keys
from nasgait.compat.keys import Config, State
from nasgait.compat.published import NECK, Published, Rules
from nasgait.core.errors import ConfigError

DEEP = ("OUMVLP", "GREW")
"""Values of ``data_cfg.dataset_name`` with the deeper layout; all others have CASIA-B's."""

PARTS = 64
"""Parts of the embedding, in both layouts."""

EMBEDDING: Rules = ((r"HPP\.p", "pooling.p"), (r"Head0\.fc_bin", "fcs.fc_bin"))
LINEAR: Rules = ((r"Bn\.", "norm."), (r"Head1\.fc_bin", "neck.fc_bin"))
"""The original head; SeparateBNNecks may replace it."""


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``data_cfg.dataset_name``; ``model_cfg``: channels, class_num, SeparateBNNecks."""
    settings = keys.section(config, "model_cfg")
    data = keys.section(config, "data_cfg")
    if "dataset_name" not in data:
        raise ConfigError(
            "data_cfg.dataset_name: missing; it decides the layout, the deeper one for "
            f"{' and '.join(DEEP)}"
        )
    deep = data["dataset_name"] in DEEP
    channels = keys.naturals(settings, "channels", count=4 if deep else 3)
    bnneck = "SeparateBNNecks" in settings
    num_classes = keys.identities(settings, state) if bnneck else linear(settings, state)
    if bnneck:
        keys.check_neck(settings, channels[-1], PARTS)
    return Published(
        rules=(*trunk(deep), *EMBEDDING, *(NECK if bnneck else LINEAR)),
        num_classes=num_classes,
        model="gaitgl-grew" if deep else "gaitgl",
        settings={
            # The last two stages of the CASIA-B layout are equally wide.
            "channels": channels if deep else (*channels, channels[-1]),
            "size": keys.frame_size(config),
            "bnneck": bnneck,
            **(keys.neck(settings) if bnneck else {}),
        },
    )


def linear(settings: Config, state: State) -> int | None:
    """Identities of the linear classifier; None for weights without one."""
    return keys.identities(settings, state, "Head1.fc_bin", ("class_num",))


def trunk(deep: bool) -> list[tuple[str, str]]:
    """From ``GLConvA1.0.local_conv3d.conv3d.weight`` to ``blocks.2.local.weight``."""
    rules = [(r"LTA\.0\.conv3d\.", "aggregation.conv.")]
    layers = 2 if deep else 1
    rules += [(rf"conv3d\.{2 * i}\.conv3d\.", f"stem.{i}.") for i in range(layers)]
    names = [f"GLConv{stage}" for stage in ("A0", "A1", "B2")]
    if deep:
        names = [rf"{name}\.{i}" for name in names for i in range(layers)]
    for number, name in enumerate(names, start=1):
        block = "last" if number == len(names) else f"blocks.{number - 1}"
        rules.append((rf"{name}\.global_conv3d\.conv3d\.", f"{block}.whole."))
        rules.append((rf"{name}\.local_conv3d\.conv3d\.", f"{block}.local."))
    return rules
