"""What can be built: search spaces, architectures, and the networks that they describe."""

from search_spaces.architecture import load_architecture, save_architecture
from search_spaces.architecture_ref import Architecture
from search_spaces.space import SearchSpace, load_space

__all__ = ["Architecture", "SearchSpace", "load_architecture", "load_space", "save_architecture"]
