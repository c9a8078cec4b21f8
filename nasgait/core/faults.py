"""Several checks whose faults are reported at once."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from nasgait.core.errors import NasgaitError


class Faults:
    """Collects what checks find wrong, so that the next ones still run."""

    def __init__(self, found: Iterable[NasgaitError] = ()) -> None:
        self.found = list(found)

    @contextmanager
    def noted(self, key: str = "") -> Iterator[None]:
        """Note the error that ends this block, with the ``key`` that it is about in front."""
        try:
            yield
        except NasgaitError as error:
            self.found.append(type(error)(f"{key}: {error}") if key else error)


def raise_all(faults: Iterable[NasgaitError]) -> None:
    """Raise all faults as one error of the first one's type; none do nothing."""
    found = list(faults)
    if found:
        raise type(found[0])("; ".join(dict.fromkeys(map(str, found))))
