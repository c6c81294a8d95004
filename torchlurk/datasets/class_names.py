"""Names of classes: reading them from files in the forms that common tools write."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from torchlurk.errors import LurkError, Option

ClassNames = Mapping[str, str] | Sequence[str]
"""Names by folder or by class number, or one name for each class in order."""

_FORMS: Final = (
    "write one name on each line; or lines of a folder's name or a number, a tab, and the class name; or "
    'JSON, a list of names or {"folder or number": "name"}'
)
"""The forms of a file of class names."""

_NUMBER_FIRST: Final = re.compile(r"(\d+)(\s*[:=]\s*|\s*[;,]\s*|[.)]\s+|\s+-\s+|\s+)(\S.*)")
_NUMBER_LAST: Final = re.compile(r"(.*[^\s,;:=])[\s,;:=]+(\d+)")
_WORDNET: Final = re.compile(r"(n\d{8})\s+(?:(\d+)\s+)?(\S.*)")
_HEADERS: Final = frozenset(
    ("id", "index", "idx", "number", "no", "class", "classid", "classindex", "classidx", "label", "labelid")
)
_TITLES: Final = frozenset(
    (
        "name",
        "names",
        "class",
        "classes",
        "classname",
        "classnames",
        "label",
        "labels",
        "labelname",
        "category",
    )
)
_HOLDERS: Final = ("id2label", "names", "classes", "class_names", "categories")
_KEYS: Final = ("id", "index", "class_id", "label_id", "class_index")
_NAMES: Final = ("name", "label", "class_name", "title")


def read_class_names(path: Path) -> dict[str, str] | tuple[str, ...]:
    """Read the names of classes: by folder, by number, or in order.

    Args:
        path: UTF-8 text in one of three forms. Lines that begin with the folder's name or the class's number,
            then a tab, then the class name, such as `n01443537<TAB>goldfish, Carassius auratus`. In place of
            the tab, a comma without a blank after it also works; after a number, so do a blank, a colon and
            the like, and the number may come last: `0: tench`, `tench 0`. Or lines that are the class name
            alone, in the order of the classes. Or JSON, a list of names or an object such as `{"0": "tench"}`
            and `{"0": ["n01440764", "tench"]}`. Empty lines, lines that begin with `# ` and a header are
            ignored.

    Returns:
        Names by folder or number, or the names in order.

    Raises:
        LurkError: The file cannot be read, is empty, names a class twice, or has none of these forms.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise LurkError(f"class names {str(path)!r} cannot be read: {reason}") from None
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and ("\t" in line or not line.startswith("# "))
    ]
    if not lines:
        raise LurkError(f"class names {str(path)!r} are empty", "write one line for each class")
    if path.suffix.lower() in (".yaml", ".yml"):
        raise LurkError(f"class names {str(path)!r} are YAML, which is not read", _FORMS)
    if text.lstrip()[0] in "[{" or path.suffix.lower() == ".json":
        return _from_json(path, text)
    found = _numbered(lines) or _tabulated(path, lines)
    if found:
        return _unique(path, found)
    names = tuple(line for _, line in lines)
    return names[1:] if len(names) > 1 and _plain(names[0]) in _TITLES else names


def names_in_order(class_names: ClassNames) -> tuple[str, ...]:
    """Return the names of a network's outputs in order: by number, or by folder as data sets sort them.

    Raises:
        LurkError: The numbers are neither 0, 1, 2, ... nor 1, 2, 3, ...
    """
    if not isinstance(class_names, Mapping):
        return tuple(class_names)
    numbered = {int(key): name for key, name in class_names.items() if key.isdecimal()}
    # A file by number may name each class by its folder as well.
    if len(numbered) < len(class_names) and set(numbered.values()) != set(class_names.values()):
        return tuple(class_names[key] for key in sorted(class_names))
    if not is_consecutive(list(numbered)):
        raise LurkError(
            f"the class names are numbered {abbreviate([str(key) for key in sorted(numbered)])}",
            f"number them from 0 to {len(numbered) - 1}",
        )
    return tuple(numbered[number] for number in sorted(numbered))


def name_classes(classes: Sequence[str], class_names: ClassNames | None) -> tuple[str, ...]:
    """Name the classes of a data set that has an order of its own.

    Args:
        classes: The names of the classes in the data set itself, in its order.
        class_names: Names by these, by number from 0, or in the same order; `None` keeps those of the data
            set.

    Returns:
        A name for each class; that of the data set where `class_names` by name has none.

    Raises:
        LurkError: `class_names` is a list of another length, or names none of the classes.
    """
    if class_names is None:
        return tuple(classes)
    if isinstance(class_names, Mapping):
        if any(name in class_names for name in classes):
            return tuple(class_names.get(name, name) for name in classes)
        numbered = {int(key): name for key, name in class_names.items() if key.isdecimal()}
        if len(numbered) != len(class_names) or max(numbered) >= len(classes):
            raise unmatched_error(classes, class_names)
        return tuple(numbered.get(index, name) for index, name in enumerate(classes))
    if len(class_names) != len(classes):
        raise wrong_length_error(classes, class_names)
    return tuple(class_names)


def wrong_length_error(classes: Sequence[str], class_names: Sequence[str]) -> LurkError:
    """Return the error for a list of names whose length is not the number of classes."""
    return LurkError(
        f"there are {len(class_names)} class names and {len(classes)} classes ({abbreviate(classes)})",
        (
            "write one name for each class, or lines 'folder<TAB>name' for the classes to name, and give the "
            "file with ",
            Option("words"),
        ),
    )


def unmatched_error(classes: Sequence[str], class_names: Mapping[str, str]) -> LurkError:
    """Return the error for names of other classes."""
    return LurkError(
        f"none of the {len(class_names)} class names belongs to a class of the images: the names are for "
        f"{abbreviate([repr(key) for key in class_names])}, the classes are "
        f"{abbreviate([repr(name) for name in classes])}",
        ("write lines 'folder<TAB>name' with these classes, and give the file with ", Option("words")),
    )


def abbreviate(names: Sequence[str]) -> str:
    """Return the first three of some names as a text."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def is_consecutive(numbers: Sequence[int]) -> bool:
    """Whether some numbers are 0, 1, 2, ... or 1, 2, 3, ..., in any order."""
    low = min(numbers)
    return low in (0, 1) and sorted(numbers) == list(range(low, low + len(numbers)))


def _numbered(lines: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
    """Return pairs of a number or a WordNet id and a name if all lines have that form, else none."""
    texts = [line for _, line in lines]
    if _plain(re.split(r"[\s,;:]", texts[0])[0]) in _HEADERS and len(texts) > 1:
        rest = [_NUMBER_FIRST.fullmatch(line) for line in texts[1:]]
        texts = texts[1:] if all(rest) else texts
    first = [match for match in map(_NUMBER_FIRST.fullmatch, texts) if match]
    has_colons = all(match[2].strip() in (":", "=") for match in first)
    if len(first) == len(texts) and (has_colons or is_consecutive([int(match[1]) for match in first])):
        return [(match[1], _unquoted(match[3])) for match in first]
    if any("\t" in line for line in texts):
        return []
    ids = [match for match in map(_WORDNET.fullmatch, texts) if match]
    if len(ids) == len(texts):
        pairs = [(match[1], match[3]) for match in ids]
        numbers = [(match[2], match[3]) for match in ids if match[2]]
        return _oriented(pairs) + (numbers if len(numbers) == len(ids) else [])
    last = [match for match in map(_NUMBER_LAST.fullmatch, texts) if match]
    # "airfield 0" and "alley 1" are names and numbers, "group 0" and "group 1" are names as a whole.
    distinct = len(last) == len(texts) == len({match[1] for match in last}) > 1
    if distinct and is_consecutive([int(match[2]) for match in last]):
        return [(match[2], _unquoted(match[1])) for match in last]
    return []


def _tabulated(path: Path, lines: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
    """Return pairs of a folder and a name, separated by a tab or a comma; none if they are names alone."""
    if not any("\t" in line for _, line in lines) and not all(_is_pair(line) for _, line in lines):
        return []
    pairs = []
    for number, line in lines:
        folder, separator, rest = line.partition("\t" if "\t" in line else ",")
        if not (separator and folder.strip() and rest.strip()) or "\t" in rest.strip():
            raise LurkError(
                f"{path}, line {number}, is {line[:40]!r}",
                "write the folder's name, a tab, then the class name",
            )
        pairs.append((_unquoted(folder), _unquoted(rest)))
    return _oriented(pairs)


def _is_pair(line: str) -> bool:
    """Whether a line has the form `n01443537,goldfish`, not `goldfish, Carassius auratus`."""
    folder, comma, rest = line.partition(",")
    return bool(comma and folder.strip() and rest.strip() and not rest.startswith(" "))


def _unquoted(text: str) -> str:
    """Return a cell of a table without its quotes."""
    text = text.strip()
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


def _plain(text: str) -> str:
    """Return a header without case, blanks, underscores and dashes."""
    return re.sub(r"[\s_-]", "", text).lower()


def _oriented(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return pairs with the number first; swap them if each has its number last."""
    turned = all(value.isdecimal() for _, value in pairs) and not all(key.isdecimal() for key, _ in pairs)
    return [(value, key) for key, value in pairs] if turned else pairs


def _unique(path: Path, pairs: list[tuple[str, str]]) -> dict[str, str]:
    class_names: dict[str, str] = {}
    for key, name in pairs:
        if class_names.setdefault(key, name) != name:
            raise LurkError(
                f"class names {str(path)!r} name {key!r} twice, {class_names[key]!r} and {name!r}",
                "keep one of them",
            )
    return class_names


def _from_json(path: Path, text: str) -> dict[str, str] | tuple[str, ...]:
    """Read names from JSON, or from a Python list or dict, which looks much the same."""
    value: Any
    repeated: list[str] = []

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counted = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counted.items() if count > 1)
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=as_dict)
    except ValueError:
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise LurkError(f"class names {str(path)!r} begin like JSON, but are not JSON", _FORMS) from None
    if repeated:
        raise LurkError(f"class names {str(path)!r} name {repeated[0]!r} twice", "keep one of them")
    if isinstance(value, dict):
        value = next((value[key] for key in _HOLDERS if isinstance(value.get(key), list | dict)), value)
    if isinstance(value, list) and value and all(isinstance(name, str) and name.strip() for name in value):
        return tuple(name.strip() for name in value)
    if isinstance(value, dict):
        items = list(value.items())
    else:
        items = [_item(entry) for entry in value] if isinstance(value, list) else []
    pairs = [pair for key, entry in items for pair in _pairs(key, entry)]
    if not pairs or any(not key or not name for key, name in pairs):
        raise LurkError(f"class names {str(path)!r} are JSON of an unknown form", _FORMS)
    return _unique(path, _oriented(pairs))


def _item(entry: Any) -> tuple[Any, Any]:
    """Return the number and the name of an entry of a list, `{"id": 1, "name": "cat"}` or `[1, "cat"]`."""
    if isinstance(entry, dict):
        return next((entry[key] for key in _KEYS if key in entry), None), entry
    return tuple(entry) if isinstance(entry, list | tuple) and len(entry) == 2 else (None, None)


def _pairs(key: Any, entry: Any) -> list[tuple[str, str]]:
    """Return pairs of a folder or a number and a name; a pair of empty texts if the form is unknown."""
    key = str(key).strip() if isinstance(key, str | int) and not isinstance(key, bool) else ""
    if isinstance(entry, dict):
        entry = next((entry[name] for name in _NAMES if name in entry), None)
    if isinstance(entry, list | tuple) and entry and all(isinstance(word, str) for word in entry):
        if key.isdecimal() and len(entry) == 2 and re.fullmatch(r"n\d{8}", entry[0]):
            return [(key, entry[1].strip()), (entry[0], entry[1].strip())]
        entry = ", ".join(entry)
    whole = isinstance(entry, str | int) and not isinstance(entry, bool)
    return [(key, str(entry).strip() if whole else "")]
