"""All images of a data set as a small table. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torchlurk.runtime.optional import import_pandas


@dataclass(frozen=True)
class ImageRow:
    """An image of the data set.

    Attributes:
        path: Its path in the folder or table, or its number in the data set.
        label: The name of its class.
    """

    path: str
    label: str


class ImageTable(tuple[ImageRow, ...]):
    """A tuple of `ImageRow`, which can be converted to a `pandas.DataFrame`."""

    __slots__ = ()

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with the columns `path` and `label`.

        Raises:
            LurkError: Pandas is not installed.
        """
        columns = {"path": [row.path for row in self], "label": [row.label for row in self]}
        return import_pandas().DataFrame(columns)
