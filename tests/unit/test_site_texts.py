"""The page has a text for every work that a run reports while it is active."""

import re
from pathlib import Path

from torchlurk.pipeline.stages import ascent, circuits, gradients, scan

LIVE = Path(__file__).parents[2] / "site/js/data/live.js"
STAGES = Path(__file__).parents[2] / "torchlurk/pipeline/stages"


def texts() -> set[str]:
    """The works that the page names."""
    table = re.search(r"const WORK = \{(.*?)\n\};", LIVE.read_text("utf-8"), re.DOTALL)
    assert table
    return {
        quoted or plain for quoted, plain in re.findall(r'^  (?:"([^"]+)"|(\w+)):', table[1], re.MULTILINE)
    }


def test_every_task_has_a_text():
    labels = {
        label
        for path in STAGES.glob("*.py")
        for label in re.findall(r"\.bar\(\s*\"([^\"]+)\"", path.read_text("utf-8"))
    }
    assert labels == set()  # all report a name of TASKS
    assert texts() == {*scan.TASKS, *circuits.TASKS, *gradients.TASKS, *ascent.TASKS}
