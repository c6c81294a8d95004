"""Packages that Torchlurk uses if they are installed."""

from __future__ import annotations

from typing import Any

from torchlurk.errors import LurkError


def import_pandas() -> Any:
    """Return the module `pandas`.

    Raises:
        LurkError: It is not installed.
    """
    try:
        import pandas as pd
    except ImportError as problem:
        raise LurkError(
            "pandas is not installed", "install it with pip install pandas to get a DataFrame"
        ) from problem
    return pd
