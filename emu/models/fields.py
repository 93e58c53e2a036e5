"""Typed, bounded look-ups in a config.json; every error names file, key, value and what would be accepted."""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emu.errors import ModelError, UnsupportedError
from isa.errors import nearest

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Fields:
    where: str
    data: Mapping[str, Any]

    def _find(self, keys: tuple[str, ...], default: object) -> tuple[str, Any]:
        for key in keys:
            if self.data.get(key) is not None:
                return key, self.data[key]
        if default is _MISSING:
            raise ModelError(f"{self.where}: key {keys[0]!r} is missing from the file{nearest(keys[0], [key[:80] for key in self.data])}")
        return keys[0], default

    def bad(self, key: str, value: object, expected: str) -> ModelError:
        return ModelError(f"{self.where}: {key} = {str(value)[:80]!r}: expected {expected}")

    def unsupported(self, key: str, value: object, supported: list[str] | str) -> UnsupportedError:
        if isinstance(supported, str):
            return UnsupportedError(f"{self.where}: {key} = {str(value)[:80]!r} is not supported: {supported}")
        return UnsupportedError(f"{self.where}: {key} = {str(value)[:80]!r} is not supported{nearest(str(value)[:80], supported)}")

    def integer(self, *keys: str, default: object = _MISSING, low: int = 1, high: int = 1 << 24) -> int:
        key, value = self._find(keys, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.bad(key, value, f"an integer from {low} to {high}")
        return value

    def optional_integer(self, key: str) -> int | None:
        return None if self.data.get(key) is None else self.integer(key)

    def number(self, *keys: str, default: object = _MISSING, high: float = 1e12) -> float:
        key, value = self._find(keys, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 < value <= high:
            raise self.bad(key, value, f"a number above 0 and up to {high:g}")
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        _, value = self._find((key,), default)
        if not isinstance(value, bool):
            raise self.bad(key, value, "true or false")
        return value

    def word(self, *keys: str, default: object = _MISSING) -> str:
        key, value = self._find(keys, default)
        if not isinstance(value, str):
            raise self.bad(key, value, "text")
        return value

    def choice(self, key: str, table: Mapping[str, Any], default: object = _MISSING) -> Any:
        value = self.word(key, default=default)
        if value not in table:
            raise self.unsupported(key, value, sorted(table))
        return table[value]

    def table(self, key: str) -> Fields | None:
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.bad(key, value, "an object")
        return Fields(f"{self.where}: {key}", value)
