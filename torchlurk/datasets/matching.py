"""Which name of a list is for which class folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from torchlurk.datasets.class_names import Words, counts, few, no_match, other_length
from torchlurk.errors import LurkError

_ENDS_IN_NUMBER: Final = re.compile(r"(.*?)(\d+)(?:\.0+)?", re.DOTALL)
_WIDTH: Final = 20
_IDS: Final = 100_000
"""Numbers from here on are ids, such as WordNet's, between which there are gaps."""
_FIRST: Final = re.compile(r"([^\s:;,=]+)(\s*[:;=]\s*|,\s*|\s+)(\S.*)")
_LAST: Final = re.compile(r"(.*[^\s:;,=])[\s:;,=]+([^\s:;,=]+)")


@dataclass(frozen=True)
class Named:
    """Names of classes.

    Attributes:
        classes: A name for each class, in the order of the folders.
        notes: What was assumed, a line each.
    """

    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def name_folders(folders: Sequence[str], words: Words | None) -> Named:
    """Name classes that are folders, or labels of a table.

    A name is found by the folder's name or its number where the words have them. A list of names is taken in
    the order of the folders' numbers, where they end in numbers (`2` before `10`), else in that of their
    bytes.

    Args:
        folders: What the classes are called, sorted by their bytes.
        words: Their words, see `words.read_words`; None leaves them as they are.

    Returns:
        The names, in the order of `folders`.

    Raises:
        LurkError: It is not certain which name is for which class, or none is for any.
    """
    if words is None:
        return Named(tuple(folders))
    if isinstance(words, Mapping):
        return _by_key(folders, words)
    found = _among(folders, words) or _by_first_word(folders, words)
    if found is not None:
        return Named(found)
    numbers = _numbers(folders)
    if numbers is not None:
        named = _by_number(folders, numbers, words)
    elif len(words) != len(folders):
        raise LurkError(other_length(folders, words))
    else:
        named = _in_natural_order(folders, words)
    _check_order(folders, named.classes, words)
    return named


def natural(name: str) -> bytes:
    """A key that sorts names by their bytes, but numbers in them by their value: `a2` before `a10`."""
    return os.fsencode(re.sub(r"\d+", lambda number: number[0].zfill(_WIDTH), name))


def _numbers(folders: Sequence[str]) -> list[int] | None:
    """The numbers of folders that are one text, or none, and a number; None if they are otherwise."""
    found = [match for match in map(_ENDS_IN_NUMBER.fullmatch, folders) if match]
    if len(found) < len(folders) or len({match[1] for match in found}) > 1:
        return None
    numbers = [int(match[2]) for match in found]
    for folder, number in zip(folders, numbers, strict=True):
        other = folders[numbers.index(number)]
        if other != folder:
            raise LurkError(f"the classes {other!r} and {folder!r} have the same number: rename one of them")
    return numbers


def _by_number(folders: Sequence[str], numbers: Sequence[int], words: Sequence[str]) -> Named:
    """Name numbered folders by a list: in the order of the numbers, or each by its own number."""
    ranks = {number: rank for rank, number in enumerate(sorted(numbers))}
    if len(words) == len(folders):
        classes = tuple(words[ranks[number]] for number in numbers)
        in_bytes = list(numbers) == sorted(numbers)
        if in_bytes and (counts(numbers) or max(numbers) >= _IDS):
            return Named(classes)
        gaps = "" if counts(numbers) else f" ({few([str(number) for number in sorted(numbers)])})"
        return Named(
            classes, (_said("in the order of the classes' numbers" + gaps, folders, numbers, classes),)
        )
    low, high = min(numbers), max(numbers)
    if len(words) < len(folders) or high > len(words):
        raise LurkError(other_length(folders, words))
    base = 0 if low == 0 and high < len(words) else 1 if low > 0 and high == len(words) else None
    if base is None:
        raise LurkError(
            f"there are {len(words)} class words and {len(folders)} classes, numbered from {low} to {high}: "
            "whether the first word is for 0 or for 1 is not certain, write 'number<TAB>words' (--words FILE)"
        )
    classes = tuple(words[number - base] for number in numbers)
    how = f"by number from a list of {len(words)}, whose first is for {base}"
    return Named(classes, (_said(how, folders, numbers, classes),))


def _said(how: str, folders: Sequence[str], numbers: Sequence[int], classes: Sequence[str]) -> str:
    """What was assumed, with the first and the last class for examples."""
    first, last = numbers.index(min(numbers)), numbers.index(max(numbers))
    return (
        f"names of classes are taken {how}: {folders[first]!r} is {classes[first]!r}, {folders[last]!r} is "
        f"{classes[last]!r}"
    )


def _in_natural_order(folders: Sequence[str], words: Sequence[str]) -> Named:
    in_order = sorted(range(len(folders)), key=lambda at: natural(folders[at]))
    if in_order == list(range(len(folders))):
        return Named(tuple(words))
    names = dict(zip(in_order, words, strict=True))
    at = next(at for at, other in enumerate(in_order) if at != other)
    before, after = folders[in_order[at]], folders[at]
    note = (
        f"names of classes are taken in the natural order of the folders, {before!r} before {after!r}: "
        "write 'folder<TAB>words' for another"
    )
    return Named(tuple(names[at] for at in range(len(folders))), (note,))


def _plain(name: str) -> str:
    """A name as people compare them: without case, and with blanks for lines and dashes."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _among(folders: Sequence[str], words: Sequence[str]) -> tuple[str, ...] | None:
    """Name folders whose names are all in the list."""
    exact = set(words)
    if exact.issuperset(folders):
        return tuple(folders)
    names = {_plain(name): name for name in words}
    keys = [_plain(folder) for folder in folders]
    unique = len(names) == len(words) and len(set(keys)) == len(keys)
    return tuple(names[key] for key in keys) if unique and names.keys() >= set(keys) else None


def _by_first_word(folders: Sequence[str], words: Sequence[str]) -> tuple[str, ...] | None:
    """Name folders by a list whose lines each begin, or each end, with a folder's name."""
    first = [match for match in map(_FIRST.fullmatch, words) if match]
    # "cat, Felis catus" is a name as a whole
    pairs = [(m[1], m[0] if m[2] == ", " and not m[1].isdecimal() else m[3]) for m in first]
    last = [match for match in map(_LAST.fullmatch, words) if match and not match[2].isdecimal()]
    for found in (pairs, [(match[2], match[1]) for match in last]):
        names = {_key(key): name for key, name in found}
        if len(names) == len(found) == len(words) and all(_key(folder) in names for folder in folders):
            return tuple(names[_key(folder)] for folder in folders)
    return None


def _key(name: str) -> str | int:
    """A number as such, so that `00` is `0`."""
    return int(name) if name.isdecimal() and name.isascii() else name


def _by_key(folders: Sequence[str], words: Mapping[str, str]) -> Named:
    """Name folders by words that say for which they are."""
    names = {_key(key): name for key, name in words.items()}
    keys = [_key(folder) for folder in folders]
    wanted = {key for key in keys if isinstance(key, int)}
    given = {key for key in names if isinstance(key, int)}
    if wanted and given and counts(list(given)) and min(given) != min(wanted) and not wanted <= given:
        raise LurkError(
            f"the class words are numbered from {min(given)} to {max(given)} and have none for class "
            f"{min(wanted - given)}: number them as the classes are (--words FILE)"
        )
    if any(key in names for key in keys):
        if len(names) < len(words):
            raise LurkError(f"the class words {few(list(words))} name a number twice: keep one")
        return Named(tuple(names.get(key, folder) for key, folder in zip(keys, folders, strict=True)))
    if set(words.values()).issuperset(folders):
        return Named(tuple(folders))
    numbers = _numbers(folders)
    if numbers is not None and given.issuperset(numbers):
        return Named(tuple(names[number] for number in numbers))
    if len(given) == len(names) == len(folders) and counts(list(given)):
        classes = tuple(names[number] for number in sorted(given))
        note = (
            f"names of classes are taken by number, in the order of the folders: {folders[0]!r} is "
            f"{classes[0]!r}, {folders[-1]!r} is {classes[-1]!r}"
        )
        return Named(classes, (note,))
    raise LurkError(no_match(folders, words))


def _check_order(folders: Sequence[str], classes: Sequence[str], words: Sequence[str]) -> None:
    """Refuse a list in whose order a class gets another name than its own, which is in the list, too."""
    names = {_plain(word) for word in words}
    for folder, name in zip(folders, classes, strict=True):
        if _plain(folder) in names and _plain(name) != _plain(folder):
            raise LurkError(
                f"the class words are in another order than the classes: {folder!r} would be {name!r}: "
                "write 'folder<TAB>words' (--words FILE)"
            )
