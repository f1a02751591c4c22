"""The gates of a mixture as a table and as a picture: which part counts in which layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from autopeft.records import Candidate

Gate = Mapping[str, object]
"""``layer``, ``part``, ``mean`` and ``spread`` over examples."""

ON = 0.5

_CELL = (86, 34)
_LEFT, _TOP, _FOOT = 90, 66, 58
_LEAST_REACH = 0.05  # gates closer to a half than this all look alike
_OPEN, _CLOSED = (33, 102, 172), (178, 24, 43)


def grid(gates: Sequence[Gate]) -> list[dict[str, object]]:
    """Return a row per layer, the one next to the head first, with a cell per part."""
    parts = _parts(gates)
    found = {(gate["layer"], gate["part"]): gate for gate in gates}
    return [
        {"name": f"layer {layer}", **{part: _cell(found.get((layer, part))) for part in parts}}
        for layer in _layers(gates)
    ]


def rows(gates: Sequence[Gate]) -> list[dict[str, object]]:
    """Return a row per gate for programs, with whether hardening would keep its part."""
    return [
        {"name": f"{gate['layer']}.{gate['part']}", **gate, "on": _mean(gate) >= ON}
        for gate in gates
    ]


def conclusion(
    *,
    metric: str,
    score: float,
    trainable_params: int,
    hardened: Candidate,
    hardened_params: int,
) -> list[str]:
    """Return how good the mixture is and what rounding its gates would leave, in two lines."""
    share = hardened_params / trainable_params
    return [
        f"{metric} {score:.4f} on the selection rows with {trainable_params:,} trained parameters; "
        "± is the spread over those rows",
        f"gates rounded to on or off leave {hardened.describe()}: {hardened_params:,} trained "
        f"parameters ({share:.0%})",
    ]


def svg(gates: Sequence[Gate], *, title: str) -> str:
    """Return a heat map: blue where a gate is open, red where it is closed, with its mean."""
    parts, layers = _parts(gates), _layers(gates)
    reach = max([abs(_mean(gate) - ON) for gate in gates] + [_LEAST_REACH])
    wide, high = _CELL
    width = max(_LEFT + len(parts) * wide + 20, 430)
    height = _TOP + len(layers) * high + _FOOT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="12" y="24" font-size="15">{escape(title)}</text>',
    ]
    for column, part in enumerate(parts):
        middle = _LEFT + column * wide + wide / 2
        lines.append(_text(middle, _TOP - 12, part.replace("_", " "), "middle"))
    for row, layer in enumerate(layers):
        lines.append(_text(_LEFT - 10, _TOP + row * high + 22, f"layer {layer}", "end"))
    for gate in gates:
        x = _LEFT + parts.index(str(gate["part"])) * wide
        y = _TOP + layers.index(_layer(gate)) * high
        mean = _mean(gate)
        lines.append(
            f'<rect x="{x}" y="{y}" width="{wide - 2}" height="{high - 2}" '
            f'fill="{_colour((mean - ON) / reach)}">'
            f"<title>{mean:.3f} ± {gate['spread']:.3f} over examples</title></rect>"
        )
        lines.append(_text(x + wide / 2, y + 22, f"{mean:.2f}", "middle"))
    foot = f"Mean of the gate over examples: {ON - reach:.2f} (red), {ON:g} (white), "
    lines.append(_text(12, height - 30, f"{foot}{ON + reach:.2f} (blue).", "start"))
    lines.append(_text(12, height - 12, "The highest layer is next to the head.", "start"))
    return "\n".join([*lines, "</svg>", ""])


def _parts(gates: Sequence[Gate]) -> list[str]:
    return list(dict.fromkeys(str(gate["part"]) for gate in gates))


def _layers(gates: Sequence[Gate]) -> list[int]:
    return sorted({_layer(gate) for gate in gates}, reverse=True)


def _layer(gate: Gate) -> int:
    layer = gate["layer"]
    assert isinstance(layer, int)
    return layer


def _mean(gate: Gate) -> float:
    mean = gate["mean"]
    assert isinstance(mean, float)
    return mean


def _cell(gate: Gate | None) -> str:
    return "" if gate is None else f"{gate['mean']:.3f} ±{gate['spread']:.3f}"


def _colour(share: float) -> str:
    """Return white at 0, and on the way to ±1 the colour of its side."""
    end = _OPEN if share >= 0 else _CLOSED
    red, green, blue = (round(255 + (channel - 255) * 0.75 * abs(share)) for channel in end)
    return f"rgb({red},{green},{blue})"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
