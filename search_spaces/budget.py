"""The budgets of a search, over a space's exact cost table."""

from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget, Costs
from search_spaces.space import SearchSpace


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
