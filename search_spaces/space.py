"""Search spaces: finding one by name or file, drawing architectures, costs, networks."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nasgait.core.errors import ConfigError
from search_spaces.architecture_ref import Architecture, read_ref
from search_spaces.costs import Cost, CostTable, cost_table
from search_spaces.network import ChoiceNetwork
from search_spaces.spec import SpaceSpec, read_spec

_FOLDER = Path(__file__).parent / "spaces"


@dataclass(frozen=True)
class SearchSpace:
    """A space of networks: what each layer may be, and what follows from it."""

    spec: SpaceSpec
    """What the YAML file says."""
    source: str
    """The name or file that :func:`load_space` loads it from."""

    @property
    def name(self) -> str:
        """The space's own name."""
        return self.spec.name

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.spec.size

    @property
    def frames(self) -> int:
        """Frames of a sequence when costs are stated."""
        return self.spec.frames

    @cached_property
    def sha256(self) -> str:
        """Checksum of what the space builds; architectures and checkpoints carry it."""
        return self.spec.sha256

    @property
    def shipped(self) -> bool:
        """Whether the space comes with nasgait, which its name alone then identifies."""
        return self.source == self.name

    @cached_property
    def choices(self) -> tuple[int, ...]:
        """The number of choices of each layer."""
        return tuple(len(blocks) for _, blocks in self.spec.layers())

    @property
    def paths(self) -> int:
        """The number of architectures."""
        return int(np.prod(self.choices, dtype=object))

    def architecture(self, choices: Sequence[int]) -> Architecture:
        """The architecture with these choices; ConfigError unless each layer has its choice."""
        if len(choices) != len(self.choices):
            raise ConfigError(
                f"{self.name}: an architecture has {len(self.choices)} choices, got {len(choices)}"
            )
        for number, (choice, count) in enumerate(zip(choices, self.choices, strict=True)):
            if not 0 <= choice < count:
                raise ConfigError(
                    f"{self.name}: layer {number} has the choices 0..{count - 1}, not {choice}"
                )
        return Architecture(self.source, tuple(int(choice) for choice in choices))

    def parse(self, text: str) -> Architecture:
        """Read ``nano:0-1-2-3``, ``0-1-2-3`` or an architecture file of this space.

        Raises ConfigError for another form, another space, or choices that it lacks.
        """
        ref = read_ref(text)
        if ref.space not in (None, self.name, self.source):
            other = load_space(str(ref.space))
            if other.sha256 != self.sha256:
                raise ConfigError(f"architecture {text!r} is not of the space {self.source}")
        if ref.space_sha256 not in (None, self.sha256):
            raise ConfigError(
                f"{text}: space_sha256: written for another version of the space {ref.space} "
                f"({str(ref.space_sha256)[:12]}, now {self.sha256[:12]}); "
                "restore that version or search again"
            )
        return self.architecture(ref.choices)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """An architecture drawn uniformly."""
        return self.architecture([int(rng.integers(count)) for count in self.choices])

    def uniform(self) -> list[Architecture]:
        """The architectures that take the same choice in every free layer."""
        free = [count for count in self.choices if count > 1]
        return [
            self.architecture([choice if count > 1 else 0 for count in self.choices])
            for choice in range(min(free, default=1))
        ]

    def path(self, arch: Architecture | Sequence[int]) -> tuple[int, ...]:
        """The choices of an architecture of this space; ConfigError for any other."""
        if not isinstance(arch, Architecture):
            return self.architecture(arch).choices
        if arch.space not in (self.source, self.name):
            raise ConfigError(f"architecture {arch} is not of the space {self.source}")
        return self.architecture(arch.choices).choices

    def cost(self, arch: Architecture | Sequence[int], frames: int | None = None) -> Cost:
        """MACs for one sequence of ``frames`` (the space's own by default), and params."""
        return self.cost_table(frames).total(self.path(arch))

    def cost_table(self, frames: int | None = None) -> CostTable:
        """What each choice of each layer costs; ConfigError for fewer than one frame."""
        if frames is not None and frames < 1:
            raise ConfigError(f"frames: must be at least 1, not {frames}")
        return cost_table(self.spec, frames or self.frames)

    def build(
        self, arch: Architecture | Sequence[int], num_classes: int | None = None
    ) -> ChoiceNetwork:
        """The network of the chosen path alone; without classes no neck, no classifier."""
        options = [(choice,) for choice in self.path(arch)]
        return ChoiceNetwork(self.spec, options, num_classes)

    def supernet(self, num_classes: int | None = None) -> ChoiceNetwork:
        """The network with every choice of every layer."""
        options = [range(count) for count in self.choices]
        return ChoiceNetwork(self.spec, options, num_classes)


def space_names() -> list[str]:
    """The spaces that come with nasgait."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_space(name_or_path: str | Path) -> SearchSpace:
    """Load a space that comes with nasgait, or a YAML file.

    Raises ConfigError when there is no such space, or naming every fault of the file.
    """
    source = str(name_or_path)
    if source in space_names():
        return SearchSpace(read_spec(_FOLDER / f"{source}.yaml"), source)
    path = Path(source).expanduser()
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        close = difflib.get_close_matches(source, space_names(), n=1, cutoff=0.5)
        hint = f", did you mean {close[0]!r}?" if close else ""
        known = ", ".join(space_names())
        raise ConfigError(f"space {source!r}: no file and no known space{hint} (known: {known})")
    spec = read_spec(path)
    if spec.name in space_names():
        raise ConfigError(f"{path}: name: {spec.name!r} is the name of a space of nasgait's own")
    return SearchSpace(spec, source)
