"""Subprocesses of tests."""

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
    """Run a program in which torch cannot be imported; fail the test if the program fails."""
    program = f"{REFUSE_TORCH}\n{textwrap.dedent(code)}\nassert 'torch' not in sys.modules\n"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def hear_interrupts() -> None:
    """Restore SIGINT before a program starts: background jobs of a shell and their children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
