"""The golden run shared among processes, then over all images: `torchrun -m tests.golden.team OUT [ALL]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.golden.run import golden_run
from torchlurk.runtime.distributed import init_from_env

if __name__ == "__main__":
    with init_from_env(os.environ) as group:
        golden_run(Path(sys.argv[1]), shard_size=2, batch_size=2, filters=None, group=group)
        for out in sys.argv[2:]:
            golden_run(
                Path(out),
                shard_size=2,
                batch_size=2,
                stages=("scan", "circuits"),
                circuits="all",
                group=group,
            )
