"""Field types of the schema: each reads what people write and holds SI.

Attributes carry their unit (`bandwidth_bytes_per_s`), TOML keys do not (`bandwidth = "3.35 TB/s"`): there the value does."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from emu.chip import units

_UNITS = "bytes_per_s|bytes_per_clk|bytes|hz|s|w|v|degc|cycles|mm2|um2|nm|mm|bits|per_cm2"
_MONEY = "usd|usd_per_hour|usd_per_gb|usd_per_mm2|usd_per_w|usd_per_kwh"
_SUFFIX = re.compile(rf"(?<=.)_({_UNITS}|{_MONEY})\Z")


def toml_key(attribute: str) -> str:
    """The TOML key of an attribute: its name without the unit."""
    return _SUFFIX.sub("", attribute)


class Section(BaseModel):
    """A table of a chip file: frozen, unknown keys refused, attributes under their TOML keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=toml_key, populate_by_name=False, use_attribute_docstrings=True,
                              strict=True, revalidate_instances="never")

    def _derive(self, **values: Any) -> None:
        """Set fields that were left open to what follows from the others; only for validators."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _quantity(kind: str) -> BeforeValidator:
    def read(value: object) -> int | float:
        return units.parse(value, kind)

    read.__name__ = kind
    return BeforeValidator(read)


Bytes = Annotated[int, _quantity("bytes")]
Rate = Annotated[int, _quantity("bytes_per_s")]
PerClock = Annotated[int, _quantity("bytes_per_clk")]
Hertz = Annotated[int, _quantity("hz")]
Seconds = Annotated[float, _quantity("s")]
Cycles = Annotated[int, _quantity("cycles")]
Picojoules = Annotated[float, _quantity("pj")]
Watts = Annotated[float, _quantity("w")]
Nanometres = Annotated[float, _quantity("nm")]
SquareMillimetres = Annotated[float, _quantity("mm2")]
SquareMicrometres = Annotated[float, _quantity("um2")]
Millimetres = Annotated[float, _quantity("mm")]
PerSquareCentimetre = Annotated[float, _quantity("per_cm2")]
Bits = Annotated[int, _quantity("bits")]
Flops = Annotated[float, _quantity("flops")]
Dollars = Annotated[float, _quantity("usd")]
DollarsPerHour = Annotated[float, _quantity("usd_per_hour")]
DollarsPerGigabyte = Annotated[float, _quantity("usd_per_gb")]
DollarsPerSquareMillimetre = Annotated[float, _quantity("usd_per_mm2")]
DollarsPerWatt = Annotated[float, _quantity("usd_per_w")]
DollarsPerKilowattHour = Annotated[float, _quantity("usd_per_kwh")]
Volts = Annotated[float, _quantity("v")]
Celsius = Annotated[float, _quantity("degc")]
Count = Annotated[int, BeforeValidator(partial(units.plain, whole=True)), Field(ge=1, le=1 << 40)]
CountOrNone = Annotated[int, BeforeValidator(partial(units.plain, whole=True)), Field(ge=0, le=1 << 40)]
Number = Annotated[int | float, BeforeValidator(partial(units.plain, whole=False)), Field(gt=0)]
Fraction = Annotated[float, BeforeValidator(lambda v: float(units.plain(v, whole=False))), Field(gt=0, le=1)]
Share = Annotated[float, BeforeValidator(lambda v: float(units.plain(v, whole=False))), Field(ge=0, le=1)]
