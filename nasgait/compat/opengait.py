"""Networks of OpenGait, SPOSGait and HSTL from published configs and checkpoints."""

import difflib

from nasgait.compat import (
    baseline,
    deepgaitv2,
    gaitgl,
    gaitpart,
    gaitset,
    gln,
    hstl,
    keys,
    sposgait,
)
from nasgait.compat.keys import Config, State
from nasgait.compat.published import Published, Reader, load_weights, unwrapped
from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork

READERS: dict[str, Reader] = {
    "Baseline": baseline.published,
    "GaitSet": gaitset.published,
    "GaitPart": gaitpart.published,
    "GLN": gln.published,
    "GaitGL": gaitgl.published,
    "DeepGaitV2": deepgaitv2.published,
    "HSTL": hstl.published,
    "HSTL_OU": hstl.published,
    "HSTL_Gait3D": hstl.published,
    "SPOSGait_small": sposgait.published,
    "SPOSGait_medium": sposgait.published,
    "SPOSGait_large": sposgait.published,
}
"""Published classes, as ``model_cfg.model`` names them."""


def load(config: Config, state: State, variant: str | None = None) -> GaitNetwork:
    """The network of a published config with the published weights, in evaluation mode.

    Args:
        config: the published YAML as a dict; ``data_cfg`` and ``model_cfg`` are read.
        state: the published ``checkpoint["model"]``.
        variant: for HSTL ``casia-b``, ``oumvlp`` or ``gait3d``.

    Returns:
        A network called as ``model(silhouettes, lengths=None)``; for SPOSGait it is the
        supernet, called as ``model(silhouettes, lengths, arch=[...])``.

    Raises:
        ConfigError: an unknown network, or a missing or wrong key.
        CheckpointError: weights that do not match the config.
    """
    state = unwrapped(state)
    published = read(config, state, variant)
    model = published.build()
    load_weights(model, state, published.rules)
    return model.eval()


def read(config: Config, state: State, variant: str | None = None) -> Published:
    """What the config describes; arguments and ConfigError as for :func:`load`."""
    name = keys.need(keys.section(config, "model_cfg"), "model")
    if not isinstance(name, str) or name not in READERS:
        close = difflib.get_close_matches(str(name), READERS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"model_cfg.model: {name!r}; {hint}known are {', '.join(READERS)}")
    return READERS[name](config, state, variant)
