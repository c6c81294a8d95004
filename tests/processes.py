"""Programs that a test starts."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

REFUSE_TORCH = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
"""


def run_without_torch(code: str) -> None:
    """Run a program where there is no torch to import; a failure is the test's own."""
    program = f"{REFUSE_TORCH}\n{textwrap.dedent(code)}\nassert 'torch' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def hear_interrupts() -> None:
    """Before a program starts: what a shell runs in the background ignores Ctrl-C, as its children do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
