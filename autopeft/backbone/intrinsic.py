"""How many dimensions the hidden states at a module really fill.

He et al. (2023), Parameter-efficient Model Adaptation for Vision Transformers, adapt the modules
whose hidden states have the smallest local intrinsic dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

NEAREST, FARTHEST = 10, 20
MOST = 2000


def intrinsic_dimension(
    points: Tensor, *, nearest: int = NEAREST, farthest: int = FARTHEST
) -> float:
    """Return the maximum-likelihood estimate of the dimension around the points.

    m_k(x) = [1/(k − 1) · Σ_{j<k} log(T_k(x) / T_j(x))]⁻¹ with T_j(x) the distance from x to its
    j-th neighbour, averaged over the points and over k from `nearest` to `farthest`.

    Paper: Levina & Bickel (2004), Maximum Likelihood Estimation of Intrinsic Dimension.

    Args:
        points: (N, width); equal ones count once.
        nearest: smallest k, at least 3.
        farthest: largest k.

    Raises:
        ValueError: there are no more than `farthest` different points.
    """
    import torch

    different = torch.unique(points.double(), dim=0)
    if len(different) <= farthest:
        raise ValueError(
            f"{len(different)} different points; {farthest} neighbours need {farthest + 1}"
        )
    exact = "donot_use_mm_for_euclid_dist"  # products of matrices round near points to zero
    distances = torch.cdist(different, different, compute_mode=exact)
    logs = distances.topk(farthest + 1, largest=False).values[:, 1:].log()
    counts = torch.arange(farthest, device=logs.device)  # of the neighbours before each
    below = logs.cumsum(dim=1) - logs
    estimates = counts / (counts * logs - below)
    return float(estimates[:, nearest - 1 :].mean())


def intrinsic_dimensions(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    modules: Sequence[str],
    *,
    most: int = MOST,
) -> dict[str, float]:
    """Return the intrinsic dimension of what modules put out for texts, the smallest first.

    Args:
        model: in eval mode.
        batches: inputs of the model; where ``attention_mask`` is 0 the output does not count.
        modules: dotted names in the model.
        most: how many tokens are taken at most, the first ones.

    Raises:
        ValueError: the batches hold too few different tokens, see `intrinsic_dimension`.
    """
    import torch

    kept: dict[str, list[Tensor]] = {name: [] for name in modules}
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs  # the first, as DeBERTa runs some on positions after the text
            seen.setdefault(name, output[0] if isinstance(output, tuple) else output)

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(keep(name)) for name in modules]
    try:
        taken = 0
        for batch in batches:
            seen.clear()
            with torch.no_grad():
                model(**batch)
            for name in modules:
                kept[name].append(_real(seen[name], batch.get("attention_mask")))
            taken += len(kept[modules[0]][-1])
            if taken >= most:
                break
    finally:
        for handle in hooks:
            handle.remove()
    found = {name: intrinsic_dimension(torch.cat(kept[name])[:most]) for name in modules}
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _real(output: Tensor, mask: Tensor | None) -> Tensor:
    """Return the states of real tokens (N, width) out of (B, S, width)."""
    return output.flatten(0, 1) if mask is None else output[mask.bool()]
