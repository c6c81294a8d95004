"""The golden run shared among processes, then over all images: `torchrun -m tests.golden.team OUT [ALL]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.golden.run import golden_run
from torchlurk.pipeline.config import KeepActivations
from torchlurk.runtime.distributed import init_from_env

if __name__ == "__main__":
    with init_from_env(os.environ) as group:
        golden_run(Path(sys.argv[1]), shard_size=2, batch_size=2, filters=None, group=group)
        for out in sys.argv[2:]:
            # The second run adds the activations to a scanned store.
            choices: tuple[KeepActivations, ...] = ("no", "yes")
            for keep_activations in choices:
                golden_run(
                    Path(out),
                    shard_size=2,
                    batch_size=2,
                    stages=("scan", "circuits"),
                    circuits="all",
                    keep_activations=keep_activations,
                    group=group,
                )
