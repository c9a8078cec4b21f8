"""Which identities train, which score architectures, which test.

Search-val identities are taken from the training set.  No identity that trains a network or scores
an architecture is tested on.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from nasgait.config.schema import DataConfig
from nasgait.core.errors import DataError
from nasgait.core.rng import generator
from nasgait.data.store import GaitStore, Sequence


class HasSequences(Protocol):
    """A store, or what is known of one that is still to be made."""

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """Every sequence, in order."""


@dataclass(frozen=True)
class Split:
    """Indices of the sequences in a store that serve each purpose; distractors serve none."""

    train: list[int]
    """Train supernets, and calibrate them."""
    search_val: list[int]
    """Score architectures; final networks train on these and ``train``."""
    test: list[int]
    """Evaluate final networks."""

    @property
    def everyone(self) -> list[int]:
        """All sequences of training identities, search-val ones among them, in order."""
        return sorted(self.train + self.search_val)


def fingerprint(store: GaitStore, indices: Iterable[int]) -> str:
    """Checksum of what a result depends on: the keys of these sequences, the store's frames."""
    digest = hashlib.sha256()
    for line in [*(store.sequences[i].key for i in indices), *store.shard_sha256]:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def labelled(store: HasSequences, indices: list[int], share: float, seed: int) -> list[int]:
    """The sequences among ``indices`` whose identities keep their labels.

    ``share`` is that of the identities, which ``seed`` draws; a larger share includes those of a
    smaller one.  Raises DataError for a share that leaves fewer than two identities.
    """
    if share == 1:
        return list(indices)
    names = sorted({store.sequences[i].label for i in indices})
    count = round(share * len(names))
    if count < 2:
        raise DataError(
            f"label_rate={share:g} of {len(names)} training identities leaves {count} with labels; "
            f"at least 2 are needed: give {2 / len(names):.2g} or more"
        )
    kept = {names[i] for i in generator(seed, "label-rate").permutation(len(names))[:count]}
    return [index for index in indices if store.sequences[index].label in kept]


def split_as(store: HasSequences, config: DataConfig) -> Split:
    """Split a store as the configuration says; raises as :func:`split`."""
    return split(store, config.search_val, config.split_seed, config.train_ids)


def split(store: HasSequences, search_val: float, seed: int, train_ids: int | None = None) -> Split:
    """Split a store by identity.

    Args:
        store: holds the subset of each sequence.  If any is ``search-val``, these are taken and
            the next two arguments are not used.
        search_val: share of the training identities below 1, otherwise their number.
        seed: draws the identities.
        train_ids: training identities to use, the first in sorted order; all by default.

    Raises DataError for an identity in more than one subset, an identity without a single frame,
    fewer training identities than asked for, or a search-val that leaves none to train on.
    """
    members = _members(store.sequences)
    if train_ids is not None:
        _keep_first(members, train_ids)
    if not members["search-val"] and members["train"]:
        labels = sorted(members["train"])
        count = _count(len(labels), search_val)
        drawn = generator(seed, "search-val").permutation(len(labels))[:count]
        members["search-val"] = {labels[i] for i in drawn}
        members["train"] -= members["search-val"]
    _require_disjoint(members)
    chosen = {name: _indices(store.sequences, name, members) for name in members}
    return Split(chosen["train"], chosen["search-val"], chosen["test"])


def _members(sequences: tuple[Sequence, ...]) -> dict[str, set[str]]:
    """Identities of each subset, after the checks that the subsets themselves must pass."""
    members: dict[str, set[str]] = {"train": set(), "search-val": set(), "test": set()}
    usable: dict[str, bool] = {}
    for sequence in sequences:
        if sequence.subset in members:
            members[sequence.subset].add(sequence.label)
        usable[sequence.label] = usable.get(sequence.label, False) or sequence.length > 0
    if empty := sorted(label for label, found in usable.items() if not found):
        raise DataError(
            f"identity {empty[0]}: zero sequences with frames; import it again or remove it"
        )
    _require_disjoint(members)
    return members


def _keep_first(members: dict[str, set[str]], train_ids: int) -> None:
    """Keep only the first training identities, search-val ones included."""
    labels = sorted(members["train"] | members["search-val"])
    if train_ids > len(labels):
        raise DataError(
            f"data.train_ids={train_ids}: the store has {len(labels)} training identities; "
            "ask for no more"
        )
    for name in ("train", "search-val"):
        members[name] &= set(labels[:train_ids])


def _require_disjoint(members: dict[str, set[str]]) -> None:
    for first, second in (("train", "test"), ("search-val", "test"), ("train", "search-val")):
        if common := members[first] & members[second]:
            raise DataError(
                f"identity {min(common)}: in the subsets {first} and {second}; an identity "
                "belongs to one, or scores would be those of people already seen"
            )


def _count(identities: int, search_val: float) -> int:
    """Number of search-val identities: at least one, and at least one is left to train on."""
    count = round(search_val * identities) if search_val < 1 else int(search_val)
    count = max(1, count)
    if search_val <= 0 or (search_val != count and search_val >= 1) or count >= identities:
        raise DataError(
            f"data.search_val={search_val:g} of {identities} training identities: allowed are a "
            f"share between 0 and 1 that leaves some to train on, or a number from 1 to "
            f"{identities - 1}"
        )
    return count


def _indices(sequences: tuple[Sequence, ...], name: str, members: dict[str, set[str]]) -> list[int]:
    # Identities drawn for search-val are of subset "train" in the store.
    subsets = ("train", "search-val") if name != "test" else ("test",)
    return [
        i
        for i, sequence in enumerate(sequences)
        if sequence.subset in subsets and sequence.label in members[name] and sequence.usable
    ]
