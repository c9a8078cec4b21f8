"""The errors whose messages are for users.

A :class:`NasgaitError` means that the input is wrong: its message is one line that names the file
and the key or sequence, and says what is wrong, what is allowed and what to do.  Commands print it
and exit with status 2.  :class:`RunFailed` means that the input was fine and the run failed;
commands print it and exit with status 1.
"""

__all__ = [
    "BudgetError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "NasgaitError",
    "RunFailed",
]


class NasgaitError(Exception):
    """Wrong input; the message is one line for the user."""


class ConfigError(NasgaitError):
    """A configuration, search space or command line that cannot be used."""


class DataError(NasgaitError):
    """A dataset, store, sequence or table that cannot be used."""


class CheckpointError(NasgaitError):
    """A checkpoint or weight file that is broken or belongs to something else."""


class BudgetError(NasgaitError):
    """A compute budget that no architecture of the space can meet."""


class RunFailed(Exception):
    """A run that started well and failed (non-finite loss, dead worker)."""
