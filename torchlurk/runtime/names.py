"""Names from outside, such as file names and class names, made safe for JSON, terminals and folders."""

from __future__ import annotations

from pathlib import Path

from torchlurk.errors import LurkError, Option

MAX_LINE = 2000
"""Characters of a line on the terminal."""

RESERVED = ("index.json", "live.json")
"""Names of files beside the stores of a site."""


def escape_surrogates(name: str) -> str:
    r"""Return a name as valid Unicode; bytes of a file name that are not UTF-8 become their numbers.

    >>> escape_surrogates("caf\udce9.png")
    'caf\\udce9.png'
    """
    text = name.encode("utf-8", "backslashreplace").decode()
    return name if text == name else text  # the same object, since there may be millions of names


def printable(text: str, limit: int = MAX_LINE) -> str:
    r"""Return a text as one line for a terminal: control characters escaped, the middle cut if it is long.

    >>> printable("two\nlines \x1b[2J")
    'two\\nlines \\x1b[2J'
    """
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if len(line) <= limit:
        return line
    return f"{line[: limit // 2]} … {line[-limit // 2 :]}"


def check_store_name(out: Path) -> None:
    """Reject a store folder whose name cannot be that of a network in a site, before hours are spent.

    Raises:
        LurkError: The name is empty, hidden, reserved or not UTF-8, or contains a character that URLs do not
            allow.
    """
    name = out.name
    problem = ""
    if name in ("", ".", ".."):
        problem = "is not a name"
    elif name.startswith("."):
        problem = "starts with a dot, and servers hide such folders"
    elif name != escape_surrogates(name):
        problem = "is not UTF-8"
    elif "\\" in name or not name.isprintable():
        problem = "contains a character that URLs do not allow"
    elif name in RESERVED:
        problem = "is reserved for a file of the site"
    if problem:
        raise LurkError(
            f"the name of the folder, which names the network in the site, {problem}",
            "choose another, such as saved_model/mine",
            Option("out", repr(str(out))),
        )
