"""A device beside the processor, for machines that have none: the processor under another name.

Its tensors hold the processor's, whose kernels do the work, so that numbers are the same. As on a
GPU, what mixes tensors of both devices raises an error. What is asked of a GPU by the name of
``cuda`` stays unseen: its memory, its streams, its kernels.

Importing this registers the device for the whole process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "other"
_MOVES = ("aten::to", "aten::_to_copy", "aten::copy_")
_MAY_INDEX = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class _Module(_DummyBackendModule):
    """What `torch.other` is asked for."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
DEVICE = torch.device(NAME, 0)


class There(torch.Tensor):
    """A tensor on the other device.

    Args:
        held: on the processor, with the numbers.
    """

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> There:
        made: There = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, kwargs or {})

    @property
    def data(self) -> torch.Tensor:
        return torch.Tensor.data.__get__(self)  # type: ignore[attr-defined,no-any-return]

    @data.setter
    def data(self, other: There) -> None:
        """Stand for other numbers from now on, which no dispatch is told of."""
        torch.Tensor.data.__set__(self, other)  # type: ignore[attr-defined]
        self.held = other.held

    def tolist(self) -> Any:
        return self.held.tolist()

    def storage(self) -> Any:
        return self.held.storage()

    def untyped_storage(self) -> Any:
        return self.held.untyped_storage()


class OtherDevice(TorchDispatchMode):
    """While entered, tensors can be made on `DEVICE`, or moved to it and back."""

    def __enter__(self) -> OtherDevice:
        self._before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor` makes here, then moves
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        torch._C._set_only_lift_cpu_tensors(self._before)
        super().__exit__(*error)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if not torch.is_inference_mode_enabled():
        return _run_here(function, args, kwargs)
    with torch.inference_mode(False), torch.no_grad():  # what is made in it could hold no other
        return _run_here(function, args, kwargs)


def _run_here(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run an operation on the processor; its result is on the device that it would be on.

    Raises:
        RuntimeError: its tensors are on both devices.
    """
    name: str = function._schema.name  # type: ignore[attr-defined]
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, There) for tensor in tensors)
    here = [t for t in tensors if not isinstance(t, There) and t.dim() > 0]
    indexed = name in _MAY_INDEX and isinstance(args[0], There)
    if there and here and name not in _MOVES and not indexed:
        raise RuntimeError(f"{name} on tensors of both devices")
    asked = [leaf.type for leaf in leaves if isinstance(leaf, torch.device)]
    onto = asked[0] == NAME if asked else there
    held = tree_map_only(There, lambda tensor: tensor.held, (tuple(args), dict(kwargs)))
    held = tree_map_only(torch.device, lambda _: torch.device("cpu"), held)
    made = function(*held[0], **held[1])
    if name == "aten::copy_":
        return args[0]
    if not onto:
        return made
    wrapped = tree_map_only(torch.Tensor, There, made)
    return return_and_correct_aliasing(function, args, kwargs, wrapped) if there else wrapped
