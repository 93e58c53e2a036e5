"""Is the public face of the package what __all__ and the type stub say, and nothing else?"""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import emu

ROOT = Path(emu.__file__).parent


def test_stub_and_package_agree():
    tree = ast.parse((ROOT / "__init__.pyi").read_text())
    named = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    named |= {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
    [listed] = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    assert named == set(emu.__all__) == set(ast.literal_eval(listed)) == set(dir(emu))


@pytest.mark.parametrize("name", emu.__all__)
def test_every_name_is_there(name):
    assert getattr(emu, name) is not None


def test_unknown_name():
    with pytest.raises(AttributeError, match="has no attribute 'chipp'"):
        emu.chipp  # noqa: B018


@pytest.mark.parametrize("first", ["import emu.chip", "import emu.chip.load, emu.models.zoo", "from emu.chip import schema", "import emu"])
def test_package_and_function_share_a_name_whoever_comes_first(first):
    code = (
        f"{first}\nimport emu\nassert emu.chip('tiny').name == 'tiny' and emu.models()[0] and emu.model('gpt-2').name == 'gpt-2'\n"
        "import emu.chip.schema, emu.models.config\nassert emu.chip.schema.Chip\n"
        "assert emu.chip('tiny').name == 'tiny' and 'gpt-2' in emu.models()\n"
        "from emu import chip, models\nassert chip('tiny').name == 'tiny' and models() == emu.models()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_version_is_the_distributions():
    pyproject = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert emu.__version__ == pyproject["project"]["version"]
