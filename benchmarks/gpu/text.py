"""The results as a text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_COLUMNS = "  {:<38} {:>9} {:>17} {:>9} {:>9} {:>6}"


def describe(results: Mapping[str, Any]) -> str:
    """Return the results as a text: a table of stages for each part, and what else it found."""
    lines = [f"Torchlurk on {results['device']}: {results.get('seconds', 0)} s in total"]
    if not results["complete"]:
        lines.append("(not finished)")
    for name, part in results["parts"].items():
        lines += ["", f"== {name}: {part['ended']}, {part.get('seconds', 0)} s"]
        lines += _part_lines(part)
    return "\n".join(lines) + "\n"


def _part_lines(part: Mapping[str, Any]) -> Iterator[str]:
    record = part.get("record", {})
    for key in ("machine", "images_per_second", "agreement", "float64 and cpu", "float64 and device"):
        for name, value in record.get(key, {}).items():
            yield f"  {key}, {name}: {value}" if key.startswith("float64") else f"  {name}: {value}"
    yield from _stage_lines(record.get("stages", []))
    for key in ("total_seconds", "store_files", "store_mib", "exit_code", "error"):
        if key in record:
            yield f"  {key}: {record[key]}"
    yield from (f"  > {line}" for line in record.get("lines", []))
    yield from (f"  | {line}" for line in record.get("profile", []))
    yield from (f"  | {line}" for line in record.get("output", [])[-120:])
    if not part["ended"].startswith(("finished", "running")):
        yield from (f"  ! {line}" for line in part.get("log", []))


def _stage_lines(stages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if stages:
        yield _COLUMNS.format("stage", "seconds", "done", "a second", "peak MiB", "GPU %")
    for stage in stages:
        seconds, done = stage["seconds"], stage["done"]
        yield _COLUMNS.format(
            stage["name"],
            f"{seconds:.1f}",
            f"{done} of {stage['total']}" if stage["total"] else "",
            f"{done / seconds:.1f}" if done and seconds else "",
            stage.get("peak_allocated_mib", ""),
            stage.get("utilisation_percent", ""),
        ).rstrip()
