"""OpenGait's GLN, both phases."""

from collections.abc import Mapping
from typing import Any

from nasgait.baselines.gln import DEPTHS
from nasgait.compat import keys
from nasgait.compat.keys import Config, State
from nasgait.compat.published import Published
from nasgait.core.errors import ConfigError

BINS = (16, 8, 4, 2, 1)
"""Bins of the published pyramid, which ignores ``bin_num``."""

RULES = (
    *((rf"sil_stage_{i}\.forward_block\.0\.conv\.", f"block{i + 1}.conv1.") for i in range(3)),
    *((rf"sil_stage_{i}\.forward_block\.2\.conv\.", f"block{i + 1}.conv2.") for i in range(3)),
    *((rf"set_stage_{i}\.0\.conv\.", f"global{i + 1}.conv1.") for i in (1, 2)),
    *((rf"set_stage_{i}\.2\.conv\.", f"global{i + 1}.conv2.") for i in (1, 2)),
    *((rf"lateral_layer{i + 1}\.", f"lateral.{i}.") for i in range(3)),
    *((rf"smooth_layer{i + 1}\.", f"smooth.{i}.") for i in range(3)),
    (r"Head\.fc_bin", "fcs.fc_bin"),
    (r"encoder_bn\.", "neck.norm."),
    (r"reduce_fc\.", "neck.reduce."),
    (r"reduce_bn\.", "neck.compact_norm."),
    (r"reduce_cls\.", "neck.classifier."),
)


def published(config: Config, state: State, variant: str | None = None) -> Published:
    """Reads ``model_cfg``: in_channels, lateral_dim, hidden_dim, bin_num, SeparateFCs,
    Lateral_pretraining; for phase 2 also dropout and class_num."""
    settings = keys.section(config, "model_cfg")
    channels = keys.after_silhouettes(settings)
    lateral = keys.natural(settings, "lateral_dim")
    embedding = keys.embedding_channels(settings, lateral, DEPTHS * sum(BINS))
    keys.need(settings, "Lateral_pretraining")
    first = keys.flag(settings, True, "Lateral_pretraining")
    compact, bins = keys.natural(settings, "hidden_dim"), keys.naturals(settings, "bin_num")
    # Both keys only shape the compact block.
    if not first and sum(bins) * compact != sum(BINS) * embedding:
        raise ConfigError(
            f"model_cfg.hidden_dim: {compact} with bin_num {list(bins)} does not fit the "
            f"embedding; give {embedding} and {list(BINS)}"
        )
    return Published(
        rules=RULES,
        num_classes=None if first else keys.natural(settings, "class_num"),
        model="gln",
        settings={
            "channels": channels,
            "lateral": lateral,
            "size": keys.frame_size(config),
            "embedding": embedding,
            "normalise_fcs": keys.flag(settings, False, "SeparateFCs", "norm"),
            "compact": compact,
            **({} if first else {"dropout": dropout(settings)}),
        },
    )


def dropout(settings: Mapping[str, Any]) -> float:
    """``dropout``; ConfigError unless it is a share."""
    found = keys.need(settings, "dropout")
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise ConfigError(f"model_cfg.dropout: {found!r}; give a number in 0..1")
    return float(found)
