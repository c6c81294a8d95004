"""Assign names from a file of class names to class folders."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from torchlurk.datasets.class_names import (
    ClassNames,
    abbreviate,
    is_consecutive,
    unmatched_error,
    wrong_length_error,
)
from torchlurk.errors import LurkError, Option

_ENDS_IN_NUMBER: Final = re.compile(r"(.*?)(\d+)(?:\.0+)?", re.DOTALL)
_PADDED_WIDTH: Final = 20
"""Digits of a number in a sorting key."""
_SMALLEST_ID: Final = 100_000
"""Numbers from here on are ids such as WordNet's, which are not consecutive."""
_FIRST_WORD: Final = re.compile(r"([^\s:;,=]+)(\s*[:;=]\s*|,\s*|\s+)(\S.*)")
_LAST_WORD: Final = re.compile(r"(.*[^\s:;,=])[\s:;,=]+([^\s:;,=]+)")


@dataclass(frozen=True)
class NamedClasses:
    """The names of the classes of a data set.

    Attributes:
        classes: A name for each class, in the order of the folders.
        notes: Assumptions to report to the user, one line each.
    """

    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def name_folders(folders: Sequence[str], class_names: ClassNames | None) -> NamedClasses:
    """Name classes that are folders, or labels of a table.

    A name is found by the folder's name or number where `class_names` has these. A list of names follows the
    order of the folders' numbers if the folders end in numbers (`2` before `10`), else the order of their
    bytes.

    Args:
        folders: The class folders, sorted by their bytes.
        class_names: Their names, see `class_names.read_class_names`; `None` keeps the names of the folders.

    Returns:
        The names, in the order of `folders`.

    Raises:
        LurkError: The assignment is ambiguous, or no name belongs to any class.
    """
    if class_names is None:
        return NamedClasses(tuple(folders))
    if isinstance(class_names, Mapping):
        return _by_key(folders, class_names)
    found = _if_listed(folders, class_names) or _by_first_word(folders, class_names)
    if found is not None:
        return NamedClasses(found)
    numbers = _numbers(folders)
    if numbers is not None:
        named = _by_number(folders, numbers, class_names)
    elif len(class_names) != len(folders):
        raise wrong_length_error(folders, class_names)
    else:
        named = _in_natural_order(folders, class_names)
    _check_order(folders, named.classes, class_names)
    return named


def natural_key(name: str) -> bytes:
    """Return a key that sorts names by their bytes, but numbers in them by value: `a2` before `a10`."""
    return os.fsencode(re.sub(r"\d+", lambda number: number[0].zfill(_PADDED_WIDTH), name))


def _numbers(folders: Sequence[str]) -> list[int] | None:
    """Return the numbers of folders that are a common prefix and a number; `None` for other folders."""
    found = [match for match in map(_ENDS_IN_NUMBER.fullmatch, folders) if match]
    if len(found) < len(folders) or len({match[1] for match in found}) > 1:
        return None
    numbers = [int(match[2]) for match in found]
    for folder, number in zip(folders, numbers, strict=True):
        other = folders[numbers.index(number)]
        if other != folder:
            raise LurkError(
                f"the classes {other!r} and {folder!r} have the same number", "rename one of them"
            )
    return numbers


def _by_number(folders: Sequence[str], numbers: Sequence[int], class_names: Sequence[str]) -> NamedClasses:
    """Name numbered folders from a list: in the order of their numbers, or each by its own number."""
    if len(class_names) == len(folders):
        ranks = {number: rank for rank, number in enumerate(sorted(numbers))}
        classes = tuple(class_names[ranks[number]] for number in numbers)
        in_byte_order = list(numbers) == sorted(numbers)
        if in_byte_order and (is_consecutive(numbers) or max(numbers) >= _SMALLEST_ID):
            return NamedClasses(classes)
        in_order = abbreviate([str(number) for number in sorted(numbers)])
        gaps = "" if is_consecutive(numbers) else f" ({in_order})"
        how = f"in the order of the classes' numbers{gaps}"
        return NamedClasses(classes, (_assignment_note(how, folders, numbers, classes),))
    low, high = min(numbers), max(numbers)
    if len(class_names) < len(folders) or high > len(class_names):
        raise wrong_length_error(folders, class_names)
    if low == 0 and high < len(class_names):
        base = 0
    elif low > 0 and high == len(class_names):
        base = 1
    else:
        raise LurkError(
            f"there are {len(class_names)} class names and {len(folders)} classes, numbered from {low} to "
            f"{high}, so the first name may be for 0 or for 1",
            ("write lines 'number<TAB>name', and give the file with ", Option("words")),
        )
    classes = tuple(class_names[number - base] for number in numbers)
    how = f"by number from a list of {len(class_names)}, whose first is for {base}"
    return NamedClasses(classes, (_assignment_note(how, folders, numbers, classes),))


def _assignment_note(how: str, folders: Sequence[str], numbers: Sequence[int], classes: Sequence[str]) -> str:
    """Describe an assumption, with the first and the last class as examples."""
    first, last = numbers.index(min(numbers)), numbers.index(max(numbers))
    return (
        f"class names are assigned {how}: {folders[first]!r} is {classes[first]!r}, {folders[last]!r} is "
        f"{classes[last]!r}"
    )


def _in_natural_order(folders: Sequence[str], class_names: Sequence[str]) -> NamedClasses:
    """Name folders from a list in natural order; report it where it differs from the order of their bytes."""
    order = sorted(range(len(folders)), key=lambda index: natural_key(folders[index]))
    if order == list(range(len(folders))):
        return NamedClasses(tuple(class_names))
    names = dict(zip(order, class_names, strict=True))
    rank = next(rank for rank, index in enumerate(order) if rank != index)
    note = (
        f"class names are assigned in the natural order of the folders, {folders[order[rank]]!r} before "
        f"{folders[rank]!r}; write lines 'folder<TAB>name' for another order"
    )
    return NamedClasses(tuple(names[index] for index in range(len(folders))), (note,))


def _plain(name: str) -> str:
    """Return a name in lower case, with blanks in place of underscores and dashes."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _if_listed(folders: Sequence[str], class_names: Sequence[str]) -> tuple[str, ...] | None:
    """Name folders whose names are all in the list; `None` if they are not."""
    exact = set(class_names)
    if exact.issuperset(folders):
        return tuple(folders)
    names = {_plain(name): name for name in class_names}
    keys = [_plain(folder) for folder in folders]
    unique = len(names) == len(class_names) and len(set(keys)) == len(keys)
    return tuple(names[key] for key in keys) if unique and names.keys() >= set(keys) else None


def _by_first_word(folders: Sequence[str], class_names: Sequence[str]) -> tuple[str, ...] | None:
    """Name folders from a list whose lines all begin, or all end, with a folder's name; else `None`."""
    first = [match for match in map(_FIRST_WORD.fullmatch, class_names) if match]
    # "cat, Felis catus" is a name as a whole.
    pairs = [(m[1], m[0] if m[2] == ", " and not m[1].isdecimal() else m[3]) for m in first]
    last = [match for match in map(_LAST_WORD.fullmatch, class_names) if match and not match[2].isdecimal()]
    for found in (pairs, [(match[2], match[1]) for match in last]):
        names = {_key(key): name for key, name in found}
        if len(names) == len(found) == len(class_names) and all(_key(folder) in names for folder in folders):
            return tuple(names[_key(folder)] for folder in folders)
    return None


def _key(name: str) -> str | int:
    """Return a number as an int, so that `00` equals `0`."""
    return int(name) if name.isdecimal() and name.isascii() else name


def _by_key(folders: Sequence[str], class_names: Mapping[str, str]) -> NamedClasses:
    """Name folders from names by folder or by number."""
    names = {_key(key): name for key, name in class_names.items()}
    keys = [_key(folder) for folder in folders]
    class_numbers = {key for key in keys if isinstance(key, int)}
    named = {key for key in names if isinstance(key, int)}
    shifted = class_numbers and named and is_consecutive(list(named)) and min(named) != min(class_numbers)
    if shifted and not class_numbers <= named:
        raise LurkError(
            f"the class names are numbered from {min(named)} to {max(named)} and have none for class "
            f"{min(class_numbers - named)}",
            ("number the names as the classes are, and give the file with ", Option("words")),
        )
    if any(key in names for key in keys):
        if len(names) < len(class_names):
            raise LurkError(
                f"the class names {abbreviate(list(class_names))} name a number twice", "keep one of them"
            )
        return NamedClasses(tuple(names.get(key, folder) for key, folder in zip(keys, folders, strict=True)))
    if set(class_names.values()).issuperset(folders):
        return NamedClasses(tuple(folders))
    numbers = _numbers(folders)
    if numbers is not None and named.issuperset(numbers):
        return NamedClasses(tuple(names[number] for number in numbers))
    if len(named) == len(names) == len(folders) and is_consecutive(list(named)):
        classes = tuple(names[number] for number in sorted(named))
        note = (
            f"class names are assigned by number, in the order of the folders: {folders[0]!r} is "
            f"{classes[0]!r}, {folders[-1]!r} is {classes[-1]!r}"
        )
        return NamedClasses(classes, (note,))
    raise unmatched_error(folders, class_names)


def _check_order(folders: Sequence[str], classes: Sequence[str], class_names: Sequence[str]) -> None:
    """Refuse a list that gives a class another name although the list holds the class's own name."""
    listed = {_plain(name) for name in class_names}
    for folder, name in zip(folders, classes, strict=True):
        if _plain(folder) in listed and _plain(name) != _plain(folder):
            raise LurkError(
                f"the class names are in another order than the classes: {folder!r} would be {name!r}",
                ("write lines 'folder<TAB>name', and give the file with ", Option("words")),
            )
