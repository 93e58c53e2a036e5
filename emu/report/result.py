"""What every result object can do with its own dict."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class Reported(ABC):
    """Base of Estimate, OpResult, Run and InferResult: they define ``to_dict``, and this class draws it."""

    @abstractmethod
    def to_dict(self) -> Mapping[str, Any]:
        """The result in the shape emu.report.schema documents for its kind."""

    def to_json(self, indent: int | None = 2) -> str:
        from emu.report.json import dumps

        return dumps(self.to_dict(), indent)

    def __str__(self) -> str:
        from emu.report.text import render_result

        return render_result(self.to_dict())

    def _repr_html_(self) -> str:
        from emu.report.html import repr_html

        return repr_html(self.to_dict())
