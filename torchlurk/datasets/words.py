"""What the classes are called."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torchlurk.errors import LurkError

Words = Mapping[str, str] | Sequence[str]
"""Words by folder name, or a name for each class in order."""


def read_words(path: Path) -> dict[str, str] | tuple[str, ...]:
    """Read what classes are called: by folder, or one after the other.

    Args:
        path: UTF-8 text. Either a line a class with the folder's name first, then a tab, then the
            words, such as `n01443537<TAB>goldfish, Carassius auratus` (a comma with no blank
            behind it will do for the tab); or a line a class that is its name alone, in the order of
            the classes. Empty lines are passed over.

    Returns:
        Words by folder name, or the names in order.

    Raises:
        LurkError: It cannot be read, is empty, or a line is not of the form that the others have.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise LurkError(f"class words {str(path)!r} cannot be read: {reason}") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise LurkError(f"class words {str(path)!r} are empty: write a line a class")
    if not any("\t" in line for _, line in lines) and not all(_is_pair(line) for _, line in lines):
        return tuple(line.strip() for _, line in lines)
    words: dict[str, str] = {}
    for number, line in lines:
        folder, separator, rest = line.partition("\t" if "\t" in line else ",")
        if not (separator and folder.strip() and rest.strip()):
            raise LurkError(
                f"{path}, line {number}, is {line[:40]!r}: write the folder's name, a tab, then the words"
            )
        words[folder.strip()] = rest.strip()
    return words


def _is_pair(line: str) -> bool:
    """Whether a line is like `n01443537,goldfish`, not like `goldfish, Carassius auratus`."""
    folder, comma, rest = line.partition(",")
    return bool(comma and folder.strip() and rest.strip() and not rest.startswith(" "))


def name_classes(folders: Sequence[str], words: Words | None) -> tuple[str, ...]:
    """Name classes by their words.

    Args:
        folders: What the classes are called in the data set itself, in order.
        words: Their words; None leaves them as they are.

    Returns:
        A name for each class; the data set's own where `words` by folder has none.

    Raises:
        LurkError: `words` is a list of another length.
    """
    if words is None:
        return tuple(folders)
    if isinstance(words, Mapping):
        return tuple(words.get(folder, folder) for folder in folders)
    if len(words) != len(folders):
        few = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
        raise LurkError(
            f"there are {len(words)} class words and {len(folders)} classes ({few}): "
            "write a line a class, or 'folder<TAB>words' for those to be named (--words FILE)"
        )
    return tuple(words)
