"""Programs that a test starts and interrupts."""

from __future__ import annotations

import signal


def hear_interrupts() -> None:
    """Before a program starts: what a shell runs in the background ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
