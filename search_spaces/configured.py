"""The search space and the budgets that a configuration asks for."""

from nasgait.config.schema import ExperimentConfig, SearchConfig
from nasgait.core.errors import ConfigError
from nasgait.search.budget import Budget, Costs
from search_spaces.space import SearchSpace, load_space


def space_of(config: ExperimentConfig, purpose: str) -> SearchSpace:
    """The configuration's search space.

    Raises ConfigError if there is none, naming the ``purpose``, or if it is unknown or wrong.
    """
    if config.space is None:
        raise ConfigError(
            f"space: is null, that is a run without a search, but {purpose} needs one; give a name "
            "of nasgait spaces or a YAML file, e.g. space=nano"
        )
    return load_space(config.space)


def budget_frames(config: ExperimentConfig) -> int | None:
    """Frames of the sequence that a budget's MACs are counted for; None without a search space."""
    if config.space is None:
        return None
    return config.search.frames or load_space(config.space).frames


def budget_of(space: SearchSpace, search: SearchConfig) -> Budget:
    """The architectures of ``space`` within the limits of ``search``.

    Raises BudgetError when there is none, naming the smallest reachable costs.
    """
    table = space.cost_table(search.frames or space.frames)
    costs = Costs(
        ("macs", "params"),
        (table.base.macs, table.base.params),
        tuple(tuple((cost.macs, cost.params) for cost in layer) for layer in table.layers),
    )
    limits = {"macs": search.max_macs, "params": search.max_params}
    return Budget(costs, {name: limit for name, limit in limits.items() if limit is not None})
