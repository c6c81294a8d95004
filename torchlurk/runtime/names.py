"""Names that others gave: as text that any file of JSON, any line and any folder can hold."""

from __future__ import annotations

from pathlib import Path

from torchlurk.errors import LurkError

LINE = 2000
"""Characters of a line on the terminal."""
RESERVED = ("index.json", "live.json")
"""Files that lie beside the stores."""


def escape_surrogates(name: str) -> str:
    r"""A name as Unicode text; what in a file's name is no UTF-8 is told by its number.

    >>> readable("caf\udce9.png")
    'caf\\udce9.png'
    """
    text = name.encode("utf-8", "backslashreplace").decode()
    return name if text == name else text  # the same object, of which there may be millions


def printable(text: str, limit: int = LINE) -> str:
    r"""A text as one line for a terminal: nothing in it moves the cursor, and what is very long is cut.

    >>> shown("two\nlines \x1b[2J")
    'two\\nlines \\x1b[2J'
    """
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if len(line) <= limit:
        return line
    return f"{line[: limit // 2]} … {line[-limit // 2 :]}"


def check_store_name(out: Path) -> None:
    """Refuse a folder whose name could not be that of a network in a page, before hours are spent.

    Raises:
        LurkError: it is empty, hidden, not UTF-8, or has a character in it that is no part of a URL.
    """
    name = out.name
    why = ""
    if name in ("", ".", ".."):
        why = "is no name"
    elif name.startswith("."):
        why = "begins with a dot, which servers hide"
    elif name != escape_surrogates(name):
        why = "is not UTF-8"
    elif "\\" in name or not name.isprintable():
        why = "has a character in it that no address has"
    elif name in RESERVED:
        why = "is that of a file of the site"
    if why:
        raise LurkError(
            f"--out {str(out)!r}: the folder's name, which is the network's in the page, {why}: "
            "choose another, such as saved_model/mine"
        )
