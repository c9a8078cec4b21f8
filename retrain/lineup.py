"""Which final networks a run trains beside each other."""

from dataclasses import dataclass

from nasgait.baselines import registry
from nasgait.config.schema import ExperimentConfig
from nasgait.engine.rng import generator
from nasgait.errors import ConfigError
from search_spaces import SearchSpace, load_space
from search_spaces.budget import budget_of


@dataclass(frozen=True)
class Entry:
    """One network of the lineup."""

    name: str
    """Its name in the results and its folder."""
    kind: str
    """searched, baseline, random or uniform."""
    flag: str
    """``--arch`` or ``--model``."""
    value: str
    """What the flag takes."""


def lineup(config: ExperimentConfig, best: str | None = None) -> list[Entry]:
    """The searched network (when ``best``, its printed form, is known), then all others.

    Without a search space those are the baselines.

    Raises ConfigError for an unknown baseline, for networks of a space where there is none, or
    for random ones beside a latency budget, which they could break; BudgetError for a budget
    that nothing meets.
    """
    if config.space is None:
        check_without_space(config)
    if config.random and config.search.max_latency is not None:
        raise ConfigError(
            f"random: {config.random} networks would be drawn without search.max_latency, which is "
            "held by measuring in the search alone; give random=0, or leave search.max_latency out"
        )
    entries = [Entry("searched", "searched", "--arch", best)] if best else []
    for baseline in config.baselines:
        registry.build(baseline.model, **baseline.settings)
        entries.append(Entry(baseline.title, "baseline", "--model", baseline.model))
    if config.space is None:
        return entries
    space = load_space(config.space)
    for number, arch in enumerate(random_architectures(config, space, best), start=1):
        entries.append(Entry(f"random-{number}", "random", "--arch", arch))
    if config.uniform:
        for number, uniform in enumerate(space.uniform()):
            entries.append(Entry(f"uniform-{number}", "uniform", "--arch", str(uniform)))
    return entries


def check_without_space(config: ExperimentConfig) -> None:
    """Refuse a lineup that ``space: null`` leaves nothing for, or that asks for architectures."""
    for key in ("random", "uniform"):
        if getattr(config, key):
            raise ConfigError(
                f"{key}: trains architectures of a search space, but space is null; give a space, "
                f"or leave {key} out"
            )
    if not config.baselines:
        raise ConfigError(
            "baselines: empty, and without a search space nothing else is trained; list networks "
            "of nasgait models, or train an architecture by nasgait retrain --arch"
        )


def random_architectures(
    config: ExperimentConfig, space: SearchSpace, best: str | None
) -> list[str]:
    """Affordable architectures drawn at random: all different, none of them ``best``.

    Drawn as :meth:`nasgait.search.budget.Budget.sample` does: evenly, but for a budget that
    hardly any meets.  Fewer than asked for when the budget allows no more.
    """
    budget = budget_of(space, config.search)
    rng = generator(config.seed, "random networks")
    seen = {space.parse(best).choices} if best else set()
    drawn: list[str] = []
    for _ in range(config.random):
        choices = next(
            (c for c in (budget.sample(rng) for _ in range(1000)) if c not in seen), None
        )
        if choices is None:
            break
        seen.add(choices)
        drawn.append(str(space.architecture(choices)))
    return drawn
