"""SPOSGait's supernets.

A published checkpoint holds all six blocks of every layer, even where ``choice_max_num`` allows
fewer.
"""

from collections.abc import Sequence
from typing import Any

from nasgait.compat import keys
from nasgait.compat.keys import Config, State
from nasgait.compat.published import NECK, Published, Rules
from nasgait.nn.blocks import SPOSGAIT_BLOCKS

SIZE, FRAMES = (64, 44), 30

STAGES = {
    "SPOSGait_small": ("00", "20", "30", "40"),
    "SPOSGait_medium": ("00 01", "10 11", "20", "30", "40"),
    "SPOSGait_large": ("00 01", "10 11", "20 21", "30 31", "40 41"),
}
"""The published names of each stage's layers (``conv3d_00``); the first digit is also that of the
stage's shortcut (``downsample0``)."""

HEAD: Rules = ((r"HPP\.p", "pooling.p"), (r"Head0\.fc_bin", "fcs.fc_bin"), *NECK)


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``model_cfg``: channels, bin_num, SeparateFCs, SeparateBNNecks."""
    settings = keys.section(config, "model_cfg")
    every = [len(SPOSGAIT_BLOCKS)] * layers(settings["model"])
    return Published(
        rules=(*layer_rules(settings["model"]), *HEAD),
        # A supernet trained by triplets alone has no neck, whatever its config says.
        num_classes=keys.identities(settings, state) if keys.classes(state) else None,
        space=space(settings, every, keys.frame_size(config)),
    )


def space(settings: Config, choices: Sequence[int], size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """The search space of a published ``model_cfg``, with the first ``choices`` of each layer.

    Raises ConfigError when a key is missing or two keys contradict each other.
    """
    stages = STAGES[settings["model"]]
    short = settings["model"] == "SPOSGait_small"
    # The last two stages share their channels.
    channels = keys.naturals(settings, "channels", count=len(stages) - 1)
    left = iter(choices)
    described = []
    for i, names in enumerate(stages):
        described.append(
            {
                "layers": [
                    layer(channels[min(i, len(channels) - 1)], k == 0, next(left))
                    for k in range(len(names.split()))
                ],
                "shortcut": True,
                "relu": i == 0 or (i == 1 and not short),
                "pool": i == 0 or i == (1 if short else 2),
                "lta": i == (0 if short else 1),
            }
        )
    return {
        "name": str(settings["model"]).lower().replace("_", "-") + "-published",
        "size": list(size),
        "frames": FRAMES,
        "blocks": list(SPOSGAIT_BLOCKS),
        "stages": described,
        "head": head(settings, channels[-1]),
    }


def head(settings: Config, channels: int) -> dict[str, Any]:
    """The head of the space; ConfigError when its keys contradict the ``channels`` before it."""
    bins = keys.naturals(settings, "bin_num")
    embedding = keys.embedding_channels(settings, channels, sum(bins))
    described = {
        "bins": list(bins),
        "channels": embedding,
        "normalise_fcs": keys.flag(settings, False, "SeparateFCs", "norm"),
    }
    if "SeparateBNNecks" not in settings:
        return described
    keys.check_neck(settings, embedding, sum(bins))
    return described | keys.neck(settings)


def layer(channels: int, first: bool, choices: int) -> dict[str, Any]:
    """One layer; only the first of a stage ends in a ReLU."""
    described: dict[str, Any] = {"channels": channels, "relu": first}
    if choices < len(SPOSGAIT_BLOCKS):
        described["blocks"] = list(SPOSGAIT_BLOCKS[:choices])
    return described


def layers(model: str) -> int:
    """The number of layers of a published class."""
    return len(" ".join(STAGES[model]).split())


def layer_rules(model: str) -> list[tuple[str, str]]:
    """From ``conv3d_20.3.4.weight`` to ``units.4.options.3.convs.1.norm.weight``."""
    rules, number = [], 0
    for stage in STAGES[model]:
        for name in stage.split():
            published = rf"conv3d_{name}\.(\d)\."
            ours = rf"units.{number}.options.\1.convs."
            for conv, norm, place in ((0, 1, 0), (3, 4, 1)):
                rules.append((rf"{published}{conv}\.conv3d\.", f"{ours}{place}.conv."))
                rules.append((rf"{published}{norm}\.", f"{ours}{place}.norm."))
            number += 1
        rules.append((rf"downsample{stage[0]}\.0\.", f"units.{number - 1}.shortcut.conv."))
        rules.append((rf"downsample{stage[0]}\.1\.", f"units.{number - 1}.shortcut.norm."))
    last_before_lta = 0 if model == "SPOSGait_small" else 3
    rules.append((r"LTA\.0\.conv3d\.", f"units.{last_before_lta}.aggregation.conv."))
    return rules
