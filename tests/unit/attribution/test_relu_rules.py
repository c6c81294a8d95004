"""The ReLU rules that users choose by name; tests/oracle/test_relu_rules.py checks their gradients."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from torchlurk.attribution import relu_rules
from torchlurk.attribution.relu_rules import RELU_RULES, ReluRule


def test_the_registry_has_exactly_the_typed_names() -> None:
    assert tuple(RELU_RULES) == get_args(ReluRule)


def test_the_choices_are_listed_without_loading_torch() -> None:
    code = "import sys, torchlurk.attribution.relu_rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_former_name_of_the_type_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="^Rule is now ReluRule$"):
        assert relu_rules.Rule == ReluRule
