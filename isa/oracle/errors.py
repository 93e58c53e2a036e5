"""The one exception of the oracle."""

from __future__ import annotations


class OracleError(ValueError):
    """A program did what a machine must refuse: the message says where and what."""
