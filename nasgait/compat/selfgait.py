"""SelfGait's checkpoints: a state dict for each part, ``<part>_state_dict``.

The published training saves its networks in pieces, each behind a DataParallel wrapper:
frame encoders (``online_network``, ``target_network``), micro-motion capture
(``conv_trans``), embedding heads (``TP_1``, ``TP_2``), ``projection_1``, ``projection_2``
and ``predictor``.  Widths are read from the shapes; a config, if given, must agree with them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from nasgait.baselines.selfgait import SelfGait
from nasgait.compat.keys import State
from nasgait.compat.published import Published, Rules, load_weights, unwrapped
from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.nn.byol import BYOL

Checkpoint = Mapping[str, State]
"""The published ``torch.save``: ``<part>_state_dict`` to weights."""

SUFFIX = "_state_dict"
EMBEDDING = ("online_network", "conv_trans", "TP_1")
"""The parts of the embedding network."""
HEADS = {
    "projection_1": "projector",
    "projection_2": "target_projector",
    "predictor": "predictor",
}
TARGET = ("target_network", "TP_2")
BINS = {31: (1, 2, 4, 8, 16)}
"""The published pyramid, by its number of parts."""

RULES: Rules = (
    *(
        (
            rf"(online|target)_network\.set_layer{layer}\.forward_block\.conv\.",
            rf"\1.block{(layer + 1) // 2}.conv{2 - layer % 2}.",
        )
        for layer in range(1, 7)
    ),
    (r"(online|target)_network\.fc_bin", r"\1.spare.fc_bin"),
    *(
        (
            rf"conv_trans\.conv_list_{branch}\.(\d+)\.{place}\.{kind}",
            rf"online.motion.{window}.{layer}.{ours}.\1",
        )
        for branch, window in ((1, "short"), (2, "long"))
        for place, layer in ((0, "squeeze"), (2, "expand"))
        for kind, ours in (("weight", "weights"), ("bias", "biases"))
    ),
    (r"TP_1\.", "online.fcs."),
    (r"TP_2\.", "target.fcs."),
    *(
        (rf"{part}\.net\.{place}\.", f"{ours}.{layer}.")
        for part, ours in HEADS.items()
        for place, layer in ((0, "expand"), (1, "norm"), (3, "contract"))
    ),
)
"""From ``<part>.<name>`` to the names of :class:`nasgait.nn.byol.BYOL`."""


def load(config: Mapping[str, Any] | None, state: Checkpoint | None = None) -> SelfGait:
    """The embedding network of a published checkpoint, in evaluation mode.

    Args:
        config: the published YAML as a dict, or None.  A checkpoint may stand here alone.
        state: the published checkpoint; parts beside the embedding network's may be absent.

    Raises:
        ConfigError: a config that contradicts the weights, or an unknown number of strips.
        CheckpointError: a part is missing, or its weights do not match.
    """
    if state is None:
        config, state = None, config or {}
    weights = joined(state, EMBEDDING)
    model = SelfGait(**settings(weights, config or {}))
    load_weights(nn.ModuleDict({"online": model}), weights, RULES)
    return model.eval()


def holds(saved: Mapping[str, Any]) -> bool:
    """Whether a file is SelfGait's, with a state dict for at least one part."""
    return any(part + SUFFIX in saved for part in (*EMBEDDING, *TARGET, *HEADS))


def published(config: Mapping[str, Any] | None, state: Checkpoint) -> Published:
    """How to build the embedding network of a checkpoint; arguments as for :func:`load`."""
    found = settings(joined(state, EMBEDDING), config or {})
    return Published(rules=RULES, num_classes=None, model="selfgait", settings=found)


def load_learner(config: Mapping[str, Any] | None, state: Checkpoint | None = None) -> BYOL:
    """All parts of a published checkpoint, to go on with pre-training, in training mode.

    Arguments and errors are those of :func:`load`, but every part is needed.
    """
    if state is None:
        config, state = None, config or {}
    weights, config = joined(state, (*EMBEDDING, *TARGET, *HEADS)), config or {}
    hidden, projection = (width(weights, f"projection_1.net.{place}.weight", 0) for place in (0, 3))
    agree(config, "projection_head.mlp_hidden_size", hidden)
    agree(config, "projection_head.projection_size", projection)
    momentum = found(config, "momentum") or found(config, "trainer.m") or 0.996
    learner = BYOL(SelfGait(**settings(weights, config)), hidden, projection, momentum)
    load_weights(learner, weights, RULES)
    return learner


def joined(state: Checkpoint, parts: Sequence[str]) -> dict[str, Tensor]:
    """The weights of these parts as ``<part>.<name>``; CheckpointError when one is missing."""
    missing = [part + SUFFIX for part in parts if part + SUFFIX not in state]
    if missing:
        raise CheckpointError(
            f"the checkpoint has no {', '.join(missing)}; a SelfGait checkpoint holds a state "
            f"dict for each of {', '.join(part + SUFFIX for part in parts)}"
        )
    for part in parts:
        weights = state[part + SUFFIX]
        if not isinstance(weights, Mapping) or not all(
            isinstance(value, Tensor) for value in weights.values()
        ):
            raise CheckpointError(f"{part + SUFFIX}: is no state dict; take another file")
    return {
        f"{part}.{name}": value
        for part in parts
        for name, value in unwrapped(state[part + SUFFIX]).items()
    }


def settings(weights: State, config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of :class:`SelfGait`, read from the shapes of its weights."""
    channels = tuple(
        width(weights, f"online_network.set_layer{layer}.forward_block.conv.weight", 0)
        for layer in (2, 4, 6)
    )
    parts, embedding = (width(weights, "TP_1.fc_bin", dimension) for dimension in (0, 2))
    narrow = width(weights, "conv_trans.conv_list_1.0.0.weight", 0)
    agree(config, "hidden_dim", embedding)
    bins = found(config, "bin_num") or BINS.get(parts)
    if bins is None or sum(bins) != parts:
        raise ConfigError(
            f"bin_num: the weights have {parts} strips, {list(bins) if bins else 'nothing'} given; "
            f"give the pyramid that makes {parts}"
        )
    return {
        "channels": channels,
        "bins": tuple(bins),
        "squeeze": channels[-1] // max(1, narrow),
        "embedding": embedding,
        "spare": "online_network.fc_bin" in weights,
    }


def width(weights: State, name: str, dimension: int) -> int:
    """The size of a dimension of one of the weights; CheckpointError when it has none."""
    if name not in weights or weights[name].dim() <= dimension:
        raise CheckpointError(
            f"the weights do not fit SelfGait: no {name} of that shape among them"
        )
    return weights[name].shape[dimension]


def found(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, at the top level or below ``network``; None without one."""
    for here in (config, config.get("network")):
        for key in path.split("."):
            here = here.get(key) if isinstance(here, Mapping) else None
        if here is not None:
            return here
    return None


def agree(config: Mapping[str, Any], path: str, wanted: int) -> None:
    """Raise ConfigError when the config contradicts the weights."""
    given = found(config, path)
    if given not in (None, wanted):
        raise ConfigError(f"{path}: is {given}, but the weights were made with {wanted}")
