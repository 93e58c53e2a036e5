"""Studies of many points: `Study` says which, `run` runs them anywhere, `StudyResult` is the table."""

from emu.study.sweep.load import load_search, load_study
from emu.study.sweep.study import Study
from emu.study.sweep.table import StudyResult

__all__ = ["Study", "StudyResult", "load_search", "load_study"]
