"""Which final networks a run trains beside each other."""

from dataclasses import dataclass

from nasgait.config.load import changed
from nasgait.config.schema import BaselineConfig, EvaluationConfig, ExperimentConfig, TrainConfig
from nasgait.core.errors import ConfigError
from nasgait.core.rng import generator
from retrain.network_spec import NetworkSpec
from search_spaces import SearchSpace, load_space
from search_spaces.configured import budget_of


@dataclass(frozen=True)
class FinalNetwork:
    """A network to train from scratch: an architecture or a hand-designed model."""

    name: str
    """Its name in the results."""
    kind: str
    """searched, baseline, random or uniform."""
    arch: str | None = None
    """Printed form or file of an architecture; then there is no model."""
    model: str | None = None
    """Name of a hand-designed network."""
    entry: str | None = None
    """Title of the entry of ``baselines`` that it follows; the first of its model by default."""

    @property
    def flags(self) -> list[str]:
        """The network as arguments of ``nasgait retrain``."""
        return ["--model", self.model] if self.model is not None else ["--arch", str(self.arch)]

    def baseline(self, config: ExperimentConfig) -> BaselineConfig | None:
        """What the configuration says of the hand-designed network."""
        if self.model is None:
            return None
        listed = [baseline for baseline in config.baselines if baseline.model == self.model]
        named = [baseline for baseline in listed if baseline.title == self.entry]
        return next(iter([*named, *listed]), BaselineConfig(self.model))

    def spec(self, config: ExperimentConfig) -> NetworkSpec:
        """How the network is built; ConfigError if it is unknown."""
        baseline = self.baseline(config)
        return NetworkSpec.of(self.arch, self.model, baseline.settings if baseline else {})

    def recipe(self, config: ExperimentConfig) -> tuple[str, TrainConfig]:
        """Its recipe, behind the key where that stands in the configuration.

        Raises ConfigError for changes of ``retrain`` that it does not allow.
        """
        baseline = self.baseline(config)
        if baseline is None or not (baseline.recipe or baseline.retrain):
            return "retrain", config.retrain
        key = f"baselines.{config.baselines.index(baseline)}"
        if baseline.recipe and baseline.retrain:
            raise ConfigError(
                f"{key}.retrain: changes the recipe of all, but {baseline.title} has a recipe of "
                f"its own; give {key}.recipe or {key}.retrain"
            )
        if baseline.recipe:
            return f"{key}.recipe", baseline.recipe
        key = f"{key}.retrain"
        return key, changed(config.retrain, baseline.retrain, key)

    def evaluation(self, config: ExperimentConfig) -> EvaluationConfig:
        """How it is evaluated."""
        baseline = self.baseline(config)
        return (baseline and baseline.evaluation) or config.evaluation


def final_networks(config: ExperimentConfig, best: str | None = None) -> list[FinalNetwork]:
    """The searched network (when ``best``, its printed form, is known), then all others.

    Without a search space those are the baselines.  Raises ConfigError for networks of a space
    where there is none, or for random ones beside a latency budget, which they could break;
    BudgetError for a budget that nothing meets.
    """
    networks = [FinalNetwork("searched", "searched", best)] if best else []
    networks += baseline_networks(config)
    if config.space is None:
        check_without_space(config)
        return networks
    if config.random and config.search.max_latency is not None:
        raise ConfigError(
            f"random: {config.random} networks would be drawn without search.max_latency, which is "
            "held by measuring in the search alone; give random=0, or leave search.max_latency out"
        )
    space = load_space(config.space)
    for number, arch in enumerate(random_architectures(config, space, best), start=1):
        networks.append(FinalNetwork(f"random-{number}", "random", arch))
    if config.uniform:
        for number, uniform in enumerate(space.uniform()):
            networks.append(FinalNetwork(f"uniform-{number}", "uniform", str(uniform)))
    return networks


def baseline_networks(config: ExperimentConfig) -> list[FinalNetwork]:
    """The hand-designed ones."""
    return [FinalNetwork(b.title, "baseline", None, b.model, b.title) for b in config.baselines]


def check_without_space(config: ExperimentConfig) -> None:
    """Refuse a run that ``space: null`` leaves nothing for, or that asks for architectures."""
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
