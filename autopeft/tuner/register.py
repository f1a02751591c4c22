"""Make the tuner known to peft, now or when peft is first imported."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PEFT_TYPE = "AUTOPEFT"


def register() -> None:
    """Add our adapter type to peft's; twice does no harm.

    peft's registration refuses a name that its enumeration of types does not hold, so the type is
    added to that first.
    """
    from peft import PeftType
    from peft.utils import register_peft_method

    if PEFT_TYPE in PeftType.__members__:
        return
    member = str.__new__(PeftType, PEFT_TYPE)
    member._name_, member._value_ = PEFT_TYPE, PEFT_TYPE
    setattr(PeftType, PEFT_TYPE, member)  # from Python 3.12 a name is looked up there alone
    PeftType._member_map_[PEFT_TYPE] = member
    PeftType._value2member_map_[PEFT_TYPE] = member
    PeftType._member_names_.append(PEFT_TYPE)

    from autopeft.tuner.config import AutoPeftConfig
    from autopeft.tuner.model import DeltaModel

    register_peft_method(name=PEFT_TYPE.lower(), config_cls=AutoPeftConfig, model_cls=DeltaModel)


def register_with_peft() -> None:
    """Register at once if peft is loaded, else as soon as it is; nothing heavy loads now."""
    if "peft" in sys.modules:
        register()
    elif not any(isinstance(finder, _AfterPeft) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterPeft())


class _AfterPeft(MetaPathFinder):
    """Finds peft as anyone else would, and has it loaded by a loader that registers afterwards.

    It stays, because others look for peft long before they load it.
    """

    _looking = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        del path, target
        if fullname != "peft" or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Registering(spec.loader)
        return spec


class _Registering(Loader):
    """Loads a module by its own loader, then registers."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        register()

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)
