"""What the classes are called: files of names, as several tools write them."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from torchlurk.errors import LurkError

Words = Mapping[str, str] | Sequence[str]
"""Words by the folder's name or the class's number, or a name for each class in order."""

FORMS: Final = (
    "write a name a line; lines of a folder's name or a number, a tab, and the words; or JSON, a list of "
    'names or {"folder or number": "name"}'
)
"""Which files of names are understood."""

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


def read_words(path: Path) -> dict[str, str] | tuple[str, ...]:
    """Read what classes are called: by folder, by number, or one after the other.

    Args:
        path: UTF-8 text. Either a line a class with the folder's name or the class's number first, then a
            tab, then the words, such as `n01443537<TAB>goldfish, Carassius auratus` (a comma with no blank
            behind it will do for the tab; for a number, so will a blank, a colon and the like, and it may
            come last: `0: tench`, `tench 0`); or a line a class that is its name alone, in the order of the
            classes; or JSON, a list of names or an object such as `{"0": "tench"}` and `{"0": ["n01440764",
            "tench"]}`. Empty lines, lines that begin with `# ` and a header are passed over.

    Returns:
        Words by folder name or number, or the names in order.

    Raises:
        LurkError: It cannot be read, is empty, names a class twice, or is not of one of these forms.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise LurkError(f"class words {str(path)!r} cannot be read: {reason}") from None
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and ("\t" in line or not line.startswith("# "))
    ]
    if not lines:
        raise LurkError(f"class words {str(path)!r} are empty: write a line a class")
    if path.suffix.lower() in (".yaml", ".yml"):
        raise LurkError(f"class words {str(path)!r} are YAML: {FORMS}")
    if text.lstrip()[0] in "[{" or path.suffix.lower() == ".json":
        return _from_json(path, text)
    found = _numbered(lines) or _tabulated(path, lines)
    if found:
        return _unique(path, found)
    names = tuple(line for _, line in lines)
    return names[1:] if len(names) > 1 and _plain(names[0]) in _TITLES else names


def names_in_order(words: Words) -> tuple[str, ...]:
    """The names of a network's outputs in their order: by number, or by folder as data sets have them.

    Raises:
        LurkError: The numbers are neither 0, 1, 2 and so on, nor 1, 2, 3.
    """
    if not isinstance(words, Mapping):
        return tuple(words)
    numbers = {int(key): name for key, name in words.items() if key.isdecimal()}
    # by number, each name may also be there by its id
    if len(numbers) < len(words) and set(numbers.values()) != set(words.values()):
        return tuple(words[key] for key in sorted(words))
    if not counts(list(numbers)):
        raise LurkError(
            f"the class words are numbered {few([str(key) for key in sorted(numbers)])}: number them from 0 "
            f"to {len(numbers) - 1}"
        )
    return tuple(numbers[number] for number in sorted(numbers))


def name_classes(names: Sequence[str], words: Words | None) -> tuple[str, ...]:
    """Name the classes of a data set that has an order of its own.

    Args:
        names: What the classes are called in the data set itself, in its order.
        words: Their words, by these names, by number from 0, or in the same order; None leaves them as they
            are.

    Returns:
        A name for each class; the data set's own where `words` by name has none.

    Raises:
        LurkError: `words` is a list of another length, or names none of the classes.
    """
    if words is None:
        return tuple(names)
    if isinstance(words, Mapping):
        if any(name in words for name in names):
            return tuple(words.get(name, name) for name in names)
        found = {int(key): name for key, name in words.items() if key.isdecimal()}
        if len(found) != len(words) or max(found) >= len(names):
            raise LurkError(no_match(names, words))
        return tuple(found.get(index, name) for index, name in enumerate(names))
    if len(words) != len(names):
        raise LurkError(other_length(names, words))
    return tuple(words)


def other_length(names: Sequence[str], words: Sequence[str]) -> str:
    """What a user is told whose list of names is of another length than the classes."""
    return (
        f"there are {len(words)} class words and {len(names)} classes ({few(names)}): "
        "write a line a class, or 'folder<TAB>words' for those to be named (--words FILE)"
    )


def no_match(names: Sequence[str], words: Mapping[str, str]) -> str:
    """What a user is told whose words are for other classes."""
    return (
        f"none of the {len(words)} class words is for a class of the images: the words are for "
        f"{few([repr(key) for key in words])}, the classes are {few([repr(name) for name in names])}: "
        "write 'folder<TAB>words' with their names (--words FILE)"
    )


def few(names: Sequence[str]) -> str:
    """The first of some names."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def counts(numbers: Sequence[int]) -> bool:
    """Whether some numbers are 0, 1, 2 and so on, or 1, 2, 3, in any order."""
    low = min(numbers)
    return low in (0, 1) and sorted(numbers) == list(range(low, low + len(numbers)))


def _numbered(lines: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
    """Pairs of a number or an id of WordNet and a name, if all lines are of that form; else none."""
    texts = [line for _, line in lines]
    if _plain(re.split(r"[\s,;:]", texts[0])[0]) in _HEADERS and len(texts) > 1:
        rest = [_NUMBER_FIRST.fullmatch(line) for line in texts[1:]]
        texts = texts[1:] if all(rest) else texts
    first = [match for match in map(_NUMBER_FIRST.fullmatch, texts) if match]
    if len(first) == len(texts) and (
        counts([int(match[1]) for match in first]) or all(match[2].strip() in (":", "=") for match in first)
    ):
        return [(match[1], _unquoted(match[3])) for match in first]
    if any("\t" in line for line in texts):
        return []
    ids = [match for match in map(_WORDNET.fullmatch, texts) if match]
    if len(ids) == len(texts):
        pairs = [(match[1], match[3]) for match in ids]
        numbers = [(match[2], match[3]) for match in ids if match[2]]
        return _oriented(pairs) + (numbers if len(numbers) == len(ids) else [])
    last = [match for match in map(_NUMBER_LAST.fullmatch, texts) if match]
    # "airfield 0" and "alley 1" are names with numbers, "group 0" and "group 1" are names
    if len(last) == len(texts) == len({match[1] for match in last}) > 1 and counts([int(m[2]) for m in last]):
        return [(match[2], _unquoted(match[1])) for match in last]
    return []


def _tabulated(path: Path, lines: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
    """Pairs of a folder's name and words, with a tab or a comma between; none if they are names alone."""
    if not any("\t" in line for _, line in lines) and not all(_is_pair(line) for _, line in lines):
        return []
    pairs = []
    for number, line in lines:
        folder, separator, rest = line.partition("\t" if "\t" in line else ",")
        if not (separator and folder.strip() and rest.strip()) or "\t" in rest.strip():
            raise LurkError(
                f"{path}, line {number}, is {line[:40]!r}: write the folder's name, a tab, then the words"
            )
        pairs.append((_unquoted(folder), _unquoted(rest)))
    return _oriented(pairs)


def _is_pair(line: str) -> bool:
    """Whether a line is like `n01443537,goldfish`, not like `goldfish, Carassius auratus`."""
    folder, comma, rest = line.partition(",")
    return bool(comma and folder.strip() and rest.strip() and not rest.startswith(" "))


def _unquoted(text: str) -> str:
    """A cell of a table without its quotes."""
    text = text.strip()
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


def _plain(text: str) -> str:
    """A header as people compare them."""
    return re.sub(r"[\s_-]", "", text).lower()


def _oriented(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs with the number first, where each has its number last."""
    turned = all(value.isdecimal() for _, value in pairs) and not all(key.isdecimal() for key, _ in pairs)
    return [(value, key) for key, value in pairs] if turned else pairs


def _unique(path: Path, pairs: list[tuple[str, str]]) -> dict[str, str]:
    words: dict[str, str] = {}
    for key, name in pairs:
        if words.setdefault(key, name) != name:
            raise LurkError(
                f"class words {str(path)!r} name {key!r} twice, {words[key]!r} and {name!r}: keep one"
            )
    return words


def _from_json(path: Path, text: str) -> dict[str, str] | tuple[str, ...]:
    """Names of JSON, or of a Python list or dict, which looks much the same."""
    value: Any
    twice: list[str] = []

    def noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counted = Counter(key for key, _ in pairs)
        twice.extend(key for key, count in counted.items() if count > 1)
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=noted)
    except ValueError:
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise LurkError(f"class words {str(path)!r} begin as JSON does, and are none: {FORMS}") from None
    if twice:
        raise LurkError(f"class words {str(path)!r} name {twice[0]!r} twice: keep one")
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
        raise LurkError(f"class words {str(path)!r} are JSON of another form: {FORMS}")
    return _unique(path, _oriented(pairs))


def _item(entry: Any) -> tuple[Any, Any]:
    """Number and name of an entry of a list, such as `{"id": 1, "name": "cat"}` or `[1, "cat"]`."""
    if isinstance(entry, dict):
        return next((entry[key] for key in _KEYS if key in entry), None), entry
    return tuple(entry) if isinstance(entry, list | tuple) and len(entry) == 2 else (None, None)


def _pairs(key: Any, entry: Any) -> list[tuple[str, str]]:
    """What one entry names, by folder and number; a pair of empty texts if it is of no known form."""
    key = str(key).strip() if isinstance(key, str | int) and not isinstance(key, bool) else ""
    if isinstance(entry, dict):
        entry = next((entry[name] for name in _NAMES if name in entry), None)
    if isinstance(entry, list | tuple) and entry and all(isinstance(word, str) for word in entry):
        if key.isdecimal() and len(entry) == 2 and re.fullmatch(r"n\d{8}", entry[0]):
            return [(key, entry[1].strip()), (entry[0], entry[1].strip())]
        entry = ", ".join(entry)
    whole = isinstance(entry, str | int) and not isinstance(entry, bool)
    return [(key, str(entry).strip() if whole else "")]
