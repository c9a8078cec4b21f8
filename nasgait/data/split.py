"""Which identities train, which score architectures, which are kept for the end.

Search-val identities are cut from the training set.  An identity that an architecture is chosen
on, or a network is trained on, is never one that it is tested on.
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
    """Numbers of the sequences in a store that serve for each purpose; distractors for none."""

    train: list[int]
    """Train supernets, and calibrate them."""
    search_val: list[int]
    """Score architectures; final networks train on these and ``train``."""
    test: list[int]
    """Judge final networks."""

    @staticmethod
    def labels(store: HasSequences, indices: Iterable[int]) -> list[str]:
        """Identity of each of these sequences."""
        return [store.sequences[i].label for i in indices]


def fingerprint(store: GaitStore, indices: Iterable[int]) -> str:
    """What a result that rests on these sequences rests on: their keys and the store's frames."""
    digest = hashlib.sha256()
    for line in [*(store.sequences[i].key for i in indices), *store.shard_sha256]:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def labelled(store: HasSequences, indices: list[int], rate: float, seed: int) -> list[int]:
    """The sequences among ``indices`` whose identities keep their labels.

    Args:
        store: where the identities are told.
        indices: sequences to train on.
        rate: share of their identities; those of a smaller share are among those of a larger.
        seed: draws the identities.

    Raises:
        DataError: a share that leaves fewer than two identities.
    """
    if rate == 1:
        return list(indices)
    names = sorted(set(Split.labels(store, indices)))
    count = round(rate * len(names))
    if count < 2:
        raise DataError(
            f"label_rate={rate:g} of {len(names)} training identities leaves {count} with labels; "
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
        store: Where the subset of each sequence is told.  If any is ``search-val``, these are
            taken and the next two arguments are not used.
        search_val: Share of the training identities below 1, otherwise their number.
        seed: Draws the identities.
        train_ids: Only the first so many training identities, in sorted order, serve; all by
            default.

    Raises:
        DataError: an identity in more than one subset, an identity without a single frame,
            fewer training identities than asked for, or so many search-val identities that none
            is left to train on.
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
    """Leave out all but the first training identities, search-val ones among them."""
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
    """Identities to set apart: at least one, and at least one is left."""
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
        if sequence.subset in subsets and sequence.label in members[name] and sequence.length
    ]
