"""The ranks of ``--nproc``: processes of one training on this machine, as torchrun starts them.

Unlike torchrun this passes every signal on, waits for the checkpoint however long it takes, and
ends with the ranks' own code.
"""

import os
from collections.abc import Sequence

from torch.distributed import TCPStore

from nasgait.core.children import how_it_ended, run_children
from nasgait.core.errors import RunFailed

HOST = "127.0.0.1"


def run_ranks(command: Sequence[str], count: int) -> None:
    """Run ``command`` as ``count`` ranks to their end.

    Raises RunFailed naming the rank that failed first, Interrupted where they were asked to stop.
    """
    # The system chooses a free port; where ranks meet is held open until all have ended.
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    failure = run_children(
        [command] * count, [environment(rank, count, store.port) for rank in range(count)]
    )
    if failure:
        rank, code = failure
        raise RunFailed(f"rank {rank} of {count} {how_it_ended(code)}; --resume goes on")


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What torch and :func:`nasgait.core.distributed.joined` read: the variables of torchrun."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": HOST,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        # As torchrun does; torch itself gets its share of the configured threads.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
