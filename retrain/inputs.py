"""What training a final network and pre-training one both read."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nasgait.config.schema import ExperimentConfig
from nasgait.data.split import Split
from nasgait.data.store import GaitStore
from nasgait.nn.base import GaitNetwork
from retrain.network_spec import NetworkSpec


@dataclass(frozen=True)
class NetworkInputs:
    """The configuration, the network and the silhouettes, opened and checked."""

    config: ExperimentConfig
    out: Path
    spec: NetworkSpec
    store: GaitStore
    split: Split

    @cached_property
    def model(self) -> GaitNetwork:
        """The embedding network for its size and cost; it is never trained itself."""
        return self.spec.build()


def folder_of(title: str) -> str:
    """A network's name as that of a folder."""
    return title.replace(":", "-").replace("/", "-")
