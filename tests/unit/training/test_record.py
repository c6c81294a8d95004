"""The record of a run, as the documentation describes it."""

from __future__ import annotations

from pathlib import Path

from torchlurk.training import record


def test_the_documentation_lists_every_key_of_the_record() -> None:
    text = (Path(__file__).parents[3] / "docs/reference/fine-tuning.md").read_text("utf-8")
    kinds = [
        record.TransferRecord,
        record.TransferOptions,
        record.TransferImages,
        record.Metrics,
        record.Epoch,
        record.Original,
    ]
    for kind in kinds:
        for name in kind.__struct_fields__:
            assert f"`{name}`" in text, (kind.__name__, name)
