"""Programs that a test starts and interrupts."""

from __future__ import annotations

import signal


def hear_interrupts() -> None:
    """Before a program starts: what a shell runs in the background ignores Ctrl-C, as its children do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
