"""What is recycled of a session's splits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autopeft.backbone.load import Backbone
from autopeft.backbone.replayable import replayable
from autopeft.backbone.share import checksum
from autopeft.train.padding import Padding
from autopeft.train.recycle import Key, Recycled, computing, digest

if TYPE_CHECKING:
    from autopeft.tasks.encode import Encoded
    from autopeft.train.frozen import FrozenStates


class RecycledSplits:
    """Per split and number of lowest layers, the states that leave them.

    Args:
        backbone: that candidates are trained on.
        splits: by name.
        kept: where the states are kept.
        padding: makes rows equally long.
    """

    def __init__(
        self,
        backbone: Backbone,
        splits: Mapping[str, Encoded],
        kept: Recycled,
        *,
        padding: Padding,
    ) -> None:
        self._backbone, self._splits, self._kept = backbone, splits, kept
        self._padding, self._device = padding, backbone.model.device

    def states(
        self, layers: int, affordable: Callable[[int], bool] = lambda _: True
    ) -> dict[str, Any]:
        """Return the arguments of a `Runner` that replays so many layers, none if it cannot.

        Args:
            layers: how many, counted from the lowest.
            affordable: whether there is time for running so many rows through them, which nothing
                interrupts; asked where states are still to be computed.
        """
        if layers == 0 or self._refused is not None:
            return {}
        missing = (s for s in self._splits if not self._kept.has(self._key(s, layers)))
        rows = sum(len(self._splits[split].lengths) for split in missing)
        if rows and not affordable(rows):
            return {}
        found = {split: self._split(split, layers) for split in self._splits}
        return {"layers": layers, "frozen": {k: v for k, v in found.items() if v is not None}}

    def _key(self, split: str, layers: int) -> Key:
        return Key(
            backbone=self._checksum,
            data=self._digests[split],
            layers=layers,
            dtype=str(self._backbone.model.dtype),
            attention=self._backbone.attention,
            device=self._device.type,
        )

    def _split(self, split: str, layers: int) -> FrozenStates | None:
        backbone, encoded = self._backbone, self._splits[split]
        compute = computing(
            backbone.model, layers, encoded, padding=self._padding, device=self._device
        )
        return self._kept.states(self._key(split, layers), encoded.lengths, compute)

    @functools.cached_property
    def _refused(self) -> str | None:
        return replayable(self._backbone.model)

    @functools.cached_property
    def _checksum(self) -> str:
        return checksum(self._backbone.model)

    @functools.cached_property
    def _digests(self) -> dict[str, str]:
        return {split: digest(encoded) for split, encoded in self._splits.items()}
