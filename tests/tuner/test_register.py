"""peft knows our adapters as soon as both packages are imported, in either order."""

from __future__ import annotations

import subprocess
import sys

import pytest

KNOWN = """
import peft
from peft import PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
ours = PeftType("AUTOPEFT")
assert ours is PeftType.AUTOPEFT and ours.value == "AUTOPEFT" and ours in list(PeftType)
assert PEFT_TYPE_TO_CONFIG_MAPPING[ours].__name__ == "AutoPeftConfig"
assert PEFT_TYPE_TO_TUNER_MAPPING[ours].__name__ == "DeltaModel"
assert isinstance(PEFT_TYPE_TO_CONFIG_MAPPING["AUTOPEFT"](), PeftConfig)
from autopeft.tuner.register import register
register()  # twice does no harm
assert len(PeftType) == len({str(member) for member in PeftType})
"""

ORDERS = {
    "peft_first": "import peft, autopeft",
    "autopeft_first": """
import importlib.util, sys
import autopeft
heavy = ("torch", "peft", "transformers", "numpy")
assert not any(name in sys.modules for name in heavy), "import autopeft is heavy"
spec = importlib.util.find_spec("peft")
assert spec is not None and spec.origin.endswith("__init__.py")
assert not any(name in sys.modules for name in heavy), "looking for peft has loaded it"
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_peft_knows_our_type(order: str) -> None:
    code = ORDERS[order] + "\n" + KNOWN
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_absent_peft_stays_absent() -> None:
    """Where peft cannot be found, importing it fails as it would without us."""
    code = """
import sys
import autopeft
sys.path[:] = []
import importlib.util
assert importlib.util.find_spec("peft") is None
try:
    import peft
except ModuleNotFoundError as error:
    assert error.name == "peft"
else:
    raise AssertionError("found")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
