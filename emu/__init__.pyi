from emu import num as num
from emu import testing as testing
from emu.chip import chip as chip
from emu.chip import chips as chips
from emu.chip import load_chip as load_chip
from emu.errors import CacheError as CacheError
from emu.errors import CapacityError as CapacityError
from emu.errors import ChipError as ChipError
from emu.errors import EmuError as EmuError
from emu.errors import ModelError as ModelError
from emu.errors import ProgramError as ProgramError
from emu.errors import UnsupportedError as UnsupportedError
from emu.extension import InstructionSet as InstructionSet
from emu.extension import instruction as instruction
from emu.kernels import kernel as kernel
from emu.machine import Machine as Machine
from emu.models import load_model as load_model
from emu.models import model as model
from emu.models import models as models
from emu.study import Tuning as Tuning
from emu.study import attention as attention
from emu.study import collective as collective
from emu.study import estimate as estimate
from emu.study import gemm as gemm
from emu.study import infer as infer
from emu.study import infer_formats as infer_formats
from emu.study import tune as tune
from emu.study.compare import compare as compare
from emu.study.sweep import Study as Study
from emu.study.sweep import load_study as load_study
from emu.system import load_system as load_system
from emu.system import system as system
from emu.system import systems as systems

__version__: str
__all__ = [
    "CacheError", "CapacityError", "ChipError", "EmuError", "InstructionSet", "Machine", "ModelError", "ProgramError", "Study", "Tuning",
    "UnsupportedError", "__version__", "attention", "chip", "chips", "collective", "compare", "estimate", "gemm", "infer", "infer_formats",
    "instruction", "kernel", "load_chip", "load_model", "load_study", "load_system", "model", "models", "num", "system", "systems",
    "testing", "tune",
]
