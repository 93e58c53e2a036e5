"""How many examples a property gets."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings


def deep() -> bool:
    """Whether EMU_HYPOTHESIS=deep asks for many more examples, chosen anew."""
    return os.environ.get("EMU_HYPOTHESIS") == "deep"


def checked(examples: int, **how: Any) -> settings:
    """Settings of hypothesis with the same examples on every run; thirty times as many, and new ones, with EMU_HYPOTHESIS=deep."""
    how = {"suppress_health_check": list(HealthCheck), "deadline": None, **how}
    if deep():
        return settings(max_examples=examples * 30, **how)
    return settings(max_examples=examples, derandomize=True, database=None, **how)
