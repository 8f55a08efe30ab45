"""From profiles to plain words: what a candidate's time goes to, against the baseline's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from surefoot.core.profile import Kernel, Profile

MOST = 5
"""More reasons than this nobody reads."""
WORTH_SAYING = 0.05
"""A share of the time below this explains nothing."""
# What multiplies by weights, by the names that ONNX Runtime and OpenVINO give it.
FAMILIES = {
    "convolutions": {
        "Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "ConvInteger", "QLinearConv",
        "Convolution", "GroupConvolution", "Deconvolution",
    },
    "matrix products": {
        "MatMul", "FusedMatMul", "Gemm", "FusedGemm", "MatMulInteger", "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm", "MatMulNBits", "FullyConnected",
    },
    "attention layers": {"Attention", "QAttention"},
    "recurrent layers": {"LSTM", "GRU", "DynamicQuantizeLSTM"},
}  # fmt: skip
_RANGES = "DynamicQuantizeLinear"
_RANGES_INSIDE = ("DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
_NORMS = ("LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization")
_GELUS = ("Gelu", "FastGelu", "BiasGelu", "QuickGelu")
_PARTS_OF_GELU = ("Erf",)


def reasons(mine: Profile, base: Profile, *, exporter: str = "") -> tuple[str, ...]:
    """Why a candidate takes the time it takes, what costs most first.

    Args:
        mine: Its profile.
        base: The baseline's, which holds no kernels where its runtime does not tell them.
        exporter: What wrote its graph, where that is known.

    Returns:
        At most five sentences without a full stop; none where nothing stands out.
    """
    total = sum(kernel.ms for kernel in mine.kernels)
    found = [*_preparing(mine)]
    if total > 0:
        found += _families(mine.kernels, base.kernels, total)
        found += _quantising(mine.kernels, total)
        found += _unfused(mine.kernels, total, exporter)
        found += _added(mine.kernels, base.kernels, total)
        found += _same(mine.kernels, base.kernels)
    found.sort(key=lambda entry: -entry[0])
    return tuple(line for _, line in found[:MOST])


Reason = tuple[float, str]
"""The share of the time that it is about, and the words."""


def _preparing(mine: Profile) -> Iterator[Reason]:
    whole = mine.prepare_ms + mine.run_ms
    share = mine.prepare_ms / whole if whole > 0 else 0.0
    if share >= 4 * WORTH_SAYING:
        yield (
            share,
            (
                f"making tensors of the rows (tokenising, scaling) takes {mine.prepare_ms:.3g} of"
                f" {whole:.3g} ms a call, which no step on the weights makes shorter"
            ),
        )


def _families(mine: Sequence[Kernel], base: Sequence[Kernel], total: float) -> Iterator[Reason]:
    """Of each kind of layer, how many run in integers, what they cost, and what they cost before.

    Where no layer at all runs in integers, that one stayed in float says nothing.
    """
    any_integer = any(kernel.integer for name in FAMILIES for kernel in _of(name, mine))
    for name in FAMILIES:
        here, there = _of(name, mine), _of(name, base)
        before = f"; the baseline's {_listed(there)} take {_ms(there):.3g} ms" if there else ""
        for integer in (True, False):
            part = [kernel for kernel in here if kernel.integer == integer]
            share = _ms(part) / total
            if share < WORTH_SAYING:
                continue
            verb = "stayed" if any_integer else "run"
            verb = "run in integers" if integer else f"{verb} in float"
            line = (
                f"{_count(part)} of {_count(here)} {name} {verb} ({_listed(part, types=integer)}):"
                f" {_percent(share)} of the time, {_ms(part):.3g} ms a call{before}"
            )
            before = ""
            yield share, line
        slow = [kernel for kernel in here if kernel.types.endswith("8 x uint8")]
        if _ms(slow) / total >= WORTH_SAYING:
            line = (
                f"the weights of {_count(slow)} {name} are uint8; most machines have faster kernels"
                " for int8 weights (quantize_dynamic with weights = 'int8')"
            )
            yield _ms(slow) / total, line


def _quantising(mine: Sequence[Kernel], total: float) -> Iterator[Reason]:
    ranges = [kernel for kernel in mine if kernel.operator == _RANGES]
    inside = [kernel for kernel in mine if kernel.operator in _RANGES_INSIDE]
    share = _ms([*ranges, *inside]) / total
    if share >= WORTH_SAYING:
        own = f"{_listed(ranges)}, {_percent(_ms(ranges) / total)} of the time" if ranges else ""
        within = f"inside {_listed(inside)}" if inside else ""
        where = ", and ".join(part for part in (own, within) if part)
        line = f"dynamic quantisation takes the ranges of its inputs anew on each call: {where}"
        yield _ms(ranges) / total, line
    quantise = [kernel for kernel in mine if kernel.operator == "QuantizeLinear"]
    back = [kernel for kernel in mine if kernel.operator == "DequantizeLinear"]
    share = _ms([*quantise, *back]) / total
    if quantise:
        yield (
            share,
            (
                f"{_listed([*quantise, *back])} run as operators of their own, not fused with a"
                f" neighbour: {_percent(share)} of the time"
            ),
        )
    elif share >= WORTH_SAYING:
        yield (
            share,
            (
                f"weights are kept in 8 bits and made float again on each call: {_listed(back)},"
                f" {_percent(share)} of the time"
            ),
        )


def _unfused(mine: Sequence[Kernel], total: float, exporter: str) -> Iterator[Reason]:
    """Attention and GELU that run in parts, beside what was fused."""
    softmax = [kernel for kernel in mine if kernel.operator in ("Softmax", "SoftMax")]
    products = [k for k in mine if k.operator in ("MatMul", "FusedMatMul") and not k.weights]
    apart = min(_count(softmax), _count(products) // 2)
    erf = [kernel for kernel in mine if kernel.operator in _PARTS_OF_GELU]
    parts = ([*softmax, *products] if apart else []) + erf
    share = _ms(parts) / total
    if not parts or share < WORTH_SAYING:
        return
    fused = Counter({"attention": _named(mine, ("Attention", "MultiHeadAttention", "QAttention"))})
    fused |= Counter({"layer norm": _named(mine, _NORMS), "GELU": _named(mine, _GELUS)})
    whole = ", ".join(f"{count} {name}" for name, count in fused.items()) or "nothing"
    by = f" of the graph that {exporter} wrote" if exporter else ""
    left = [f"{apart} attention"] * bool(apart) + [f"{_count(erf)} GELU"] * bool(erf)
    yield (
        share,
        f"{' and '.join(left)}{by} run in parts: {_percent(share)} of the time; fused: {whole}",
    )


def _added(mine: Sequence[Kernel], base: Sequence[Kernel], total: float) -> Iterator[Reason]:
    """Operators that the baseline runs fewer of, where both runtimes tell."""
    if not base:
        return
    known = {_RANGES, "QuantizeLinear", "DequantizeLinear"}.union(*FAMILIES.values())
    before = Counter[str]()
    for kernel in base:
        before[kernel.operator] += round(kernel.nodes)
    now = _by_operator(mine)
    more = [
        Kernel(
            operator=name,
            types="",
            integer=False,
            weights=False,
            nodes=nodes - before[name],
            ms=ms * (nodes - before[name]) / nodes,
        )
        for name, (nodes, ms) in now.items()
        if name not in known and nodes > before[name]
    ]
    more.sort(key=lambda kernel: -kernel.ms)
    share = _ms(more) / total
    if share >= WORTH_SAYING:
        yield (
            share,
            (
                f"operators that the baseline does not run: {_listed(more[:4])}"
                f"{' and others' if len(more) > 4 else ''}: {_percent(share)} of the time"
            ),
        )


def _same(mine: Sequence[Kernel], base: Sequence[Kernel]) -> Iterator[Reason]:
    def counted(kernels: Sequence[Kernel]) -> Counter[str]:
        return Counter({name: round(nodes) for name, (nodes, _) in _by_operator(kernels).items()})

    if base and counted(mine) == counted(base):
        yield 1.0, f"it runs the same {_count(mine)} operators as the baseline"


def _by_operator(kernels: Iterable[Kernel]) -> dict[str, tuple[float, float]]:
    """Nodes and milliseconds by the name of the operator."""
    found: dict[str, tuple[float, float]] = {}
    for kernel in kernels:
        nodes, ms = found.get(kernel.operator, (0.0, 0.0))
        found[kernel.operator] = nodes + kernel.nodes, ms + kernel.ms
    return found


def _of(family: str, kernels: Iterable[Kernel]) -> list[Kernel]:
    return [k for k in kernels if k.operator in FAMILIES[family] and k.weights]


def _named(kernels: Iterable[Kernel], names: Sequence[str]) -> int:
    return _count([kernel for kernel in kernels if kernel.operator in names])


def _count(kernels: Iterable[Kernel]) -> int:
    return round(sum(kernel.nodes for kernel in kernels))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "under 1 %"


def _ms(kernels: Iterable[Kernel]) -> float:
    return sum(kernel.ms for kernel in kernels)


def _listed(kernels: Iterable[Kernel], *, types: bool = False) -> str:
    """`2 Conv, 1 FusedConv`; with types `2 ConvInteger uint8 x int8`."""
    found = Counter[str]()
    for kernel in kernels:
        name = f"{kernel.operator} {kernel.types}".strip() if types else kernel.operator
        found[name] += round(kernel.nodes)
    return ", ".join(f"{count} {name}" for name, count in found.items())
