"""Write `docs/reference.md` from the docstrings: `make reference`, or `python docs/make_reference.py`.

The code is read, not imported (griffe). Shown are the names that the package exports, and every class and
type of the package that their signatures lead to, so that nothing is named there and told nowhere.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import griffe
from jinja2 import Environment, FileSystemLoader, StrictUndefined

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference.md"
PACKAGE = "torchlurk"
FORMAT = f"{PACKAGE}.store."
"""The records of a store have a section of their own: docs/format.md says what their keys mean."""

SPECIAL = ("__call__", "__getitem__")
"""Methods without a name that are told."""


@dataclass(frozen=True)
class Section:
    """A part of the reference.

    Attributes:
        title: its heading.
        entries: a class, a function or a type each, the first one that which the others are there for.
    """

    title: str
    entries: tuple[griffe.Object, ...]


def sections(package: griffe.Module) -> tuple[Section, ...]:
    """One for each room that exports a name, with what its names lead to, in the order of the exports.

    What lies in such a room is told there, whatever leads to it first.
    """
    homes: dict[str, str] = {}
    for name, module in exports(package).items():
        homes.setdefault(room(module), name)
    found: dict[str, list[griffe.Object]] = {name: [] for name in homes.values()}
    records: list[griffe.Object] = []
    told: set[str] = set()
    for name, module in exports(package).items():
        waiting = [package.modules_collection[f"{module}.{name}"]]
        while waiting:
            entry = target(waiting.pop(0))
            if entry.path in told:
                continue
            told.add(entry.path)
            if not entry.docstring:
                raise SystemExit(f"{entry.path} has no docstring")
            waiting += leads_to(entry)
            home = found[homes.get(room(entry.path), homes[room(module)])]
            (records if entry.path.startswith(FORMAT) else home).append(entry)
    parts = [
        Section(name, tuple(sorted(entries, key=lambda one: place(one) != PACKAGE)))
        for name, entries in found.items()
    ]
    return (*parts, Section("Records of a store", tuple(sorted(records, key=lambda one: one.is_class))))


def room(path: str) -> str:
    """The part of the package that a path leads into."""
    return path.split(".")[1]


def exports(package: griffe.Module) -> dict[str, str]:
    """The names that can be had from the package itself, and the modules that they are in."""
    value: Any = package["EXPORTS"].value
    pairs = zip(value.keys, value.values, strict=True)
    return {str(key).strip("'\""): str(module).strip("'\"") for key, module in pairs}


def target(entry: Any) -> griffe.Object:
    """What an import stands for."""
    return entry.final_target if entry.is_alias else entry  # type: ignore[no-any-return]


def leads_to(entry: griffe.Object) -> list[griffe.Object]:
    """The classes and types of the package that an entry's annotations name."""
    found: dict[str, griffe.Object] = {}
    for annotation in types_of(entry):
        for name in names_in(annotation):
            one = known(entry, name)
            if one is not None and (one.is_class or one.is_attribute) and not one.name.isupper():
                found.setdefault(one.path, one)
    return list(found.values())


def types_of(entry: griffe.Object) -> Iterator[Any]:
    """All that an entry says of types where a user sees it."""
    if isinstance(entry, griffe.Attribute):
        yield entry.annotation if entry.parent and entry.parent.is_class else entry.value
    elif isinstance(entry, griffe.Function):
        yield entry.returns
        for parameter in entry.parameters:
            yield parameter.annotation
    elif isinstance(entry, griffe.Class):
        for parameter in entry.parameters:
            yield parameter.annotation
        for member in entry.members.values():
            if not member.name.startswith("_") or member.name in SPECIAL:
                yield from types_of(target(member))


def names_in(annotation: Any) -> Iterator[str]:
    """The full paths of the names in an annotation."""
    for part in annotation.iterate(flat=True) if isinstance(annotation, griffe.Expr) else ():
        if isinstance(part, griffe.ExprName):
            yield part.canonical_path


def known(entry: griffe.Object, path: str) -> griffe.Object | None:
    """What lies in the package at a path."""
    if not path.startswith(f"{PACKAGE}."):
        return None
    return target(entry.modules_collection[path])


def members(entry: griffe.Object) -> list[griffe.Object]:
    """A class's methods and properties that are public and told of."""
    found = [target(member) for member in entry.members.values()]
    return [
        one
        for one in found
        if (one.is_function or "property" in one.labels)
        and one.docstring
        and (not one.name.startswith("_") or one.name in SPECIAL)
    ]


def place(entry: griffe.Object) -> str:
    """Where a user imports it from: the shortest of the package's modules that have it."""
    home = exports(entry.package).get(entry.name)
    if home and known(entry, f"{home}.{entry.name}") is entry:
        return PACKAGE
    module = entry.module.path
    outer = known(entry, module.rpartition(".")[0])
    return outer.path if outer and entry.name in (outer.exports or ()) else module


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def prose(text: str) -> str:
    """A text of a docstring as Markdown: papers become links."""
    text = re.sub(r"\bdocs/(\w+\.md)", r"[\1](\1)", text)
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"(?<![(\w])(https://[^\s),]+)", r"<\1>", text)


def folded(text: str) -> str:
    """The same in one line, as the item of a list wants it."""
    return prose(" ".join(text.split()))


def signature(entry: griffe.Class | griffe.Function) -> str:
    """How it is called, and what comes back; types of arguments are told below."""
    name, parts = entry.name, []
    keyword = griffe.ParameterKind.keyword_only
    for parameter in entry.parameters:
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is keyword and "*" not in parts:
            parts.append("*")
        given = default(parameter)
        parts.append(parameter.name + (f"={given}" if given else ""))
    back = (
        f" -> {entry.returns}" if isinstance(entry, griffe.Function) and str(entry.returns) != "None" else ""
    )
    line = f"{name}({', '.join(parts)}){back}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){back}"


def default(parameter: griffe.Parameter) -> str:
    """The default as one would write it: the value of a constant, not its name; empty if there is none."""
    value: Any = parameter.default
    if isinstance(value, griffe.ExprName) and parameter.function is not None:
        constant = known(parameter.function, value.canonical_path)
        if isinstance(constant, griffe.Attribute):
            value = constant.value
    return "" if value is None else double(value)


def double(code: object) -> str:
    """Code with the quotes that the project writes."""
    return str(code).replace("'", '"')


def environment(headings: dict[str, str]) -> Environment:
    """The template's filters.

    Args:
        headings: by path, those of all entries.
    """

    def kind(annotation: Any) -> str:
        """A type, with links to those that are told."""
        if not isinstance(annotation, griffe.Expr):
            return f"`{annotation}`"
        parts = []
        linked = False
        for part in annotation.iterate(flat=True):
            text = html.escape(part.name if isinstance(part, griffe.ExprName) else str(part), quote=False)
            path = part.canonical_path if isinstance(part, griffe.ExprName) else ""
            if path in headings:
                linked = True
                text = f'<a href="#{slug(headings[path])}">{text}</a>'
            parts.append(text)
        return f"<code>{''.join(parts)}</code>" if linked else f"`{double(annotation)}`"

    made = Environment(
        loader=FileSystemLoader(DOCS), autoescape=False, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters |= {
        "prose": prose, "folded": folded, "slug": slug, "signature": signature, "default": default,
        "kind": kind, "members": members, "double": double,
    }  # fmt: skip
    return made


def render() -> str:
    """The reference as Markdown."""
    package: Any = griffe.load(
        PACKAGE, search_paths=[DOCS.parent], docstring_parser="google",
        docstring_options={"returns_named_value": False},
    )  # fmt: skip
    parts = sections(package)
    headings = {
        entry.path: f"{place(entry)}.{entry.name}"
        for section in parts
        for entry in section.entries
        if not (entry.is_attribute and entry.path.startswith(FORMAT))
    }
    template = environment(headings).get_template("reference.md.jinja")
    text = template.render(package=package, sections=parts, headings=headings, FORMAT=FORMAT)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    REFERENCE.write_text(render(), "utf-8")
    print(REFERENCE, file=sys.stderr)
