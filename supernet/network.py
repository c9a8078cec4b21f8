"""One path at a time through the weight-sharing network, ``SearchSpace.supernet``.

Single Path One-Shot (Guo et al., ECCV 2020, section 3); over gait blocks as in SPOSGait.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from nasgait.core.errors import CheckpointError
from nasgait.core.rng import generator
from search_spaces.space import SearchSpace


def path_at(space: SearchSpace, seed: int, step: int) -> tuple[int, ...]:
    """The path trained at ``step``: uniform, a function of (seed, step) alone.

    So every rank draws the same without a collective, and a resumed run draws the same again.
    """
    return space.sample(generator(seed, "path", step)).choices


def slice_state(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The part of a supernet's ``state`` that ``network``, built for one path, holds.

    A subnet's names are a subset of the supernet's, so the slice is a filter; its tensors share the
    supernet's memory.  Raises CheckpointError when the state lacks some of them.
    """
    missing = [name for name in network.state_dict() if name not in state]
    if missing:
        raise CheckpointError(
            f"the supernet's weights lack {missing[0]} and {len(missing) - 1} more: "
            "they belong to another space, or to a supernet without a classifier"
        )
    return {name: state[name] for name in network.state_dict()}
