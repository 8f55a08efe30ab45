"""Widths are chosen within the time, and times and blocks are counted as documented."""

import numpy as np
import pytest

from surefoot.compress.steps._allocate import Times, fastest, uniform
from surefoot.compress.steps._layer_times import SHARES
from surefoot.compress.steps._units import Unit

S = np.array(SHARES)
FLAT = np.ones((5, 5))
BY_INPUTS = S[:, None] * FLAT
BY_OUTPUTS = S[None, :] * FLAT


def unit(name, blocks, **changes):
    options = {
        "group": None,
        "size": 1,
        "importance": np.arange(blocks, dtype=float),
        "writes": (f"{name}.w",),
        "reads": (f"{name}.r",),
    }
    return Unit(name=name, blocks=blocks, **(options | changes))


@pytest.mark.parametrize(
    ("blocks", "attention", "widths"),
    [
        (2, None, [2, 1]),
        (7, None, [7, 6, 5, 4, 3, 2, 1]),
        (31, None, [31, *range(30, 0, -1)]),
        (32, None, [32, 24, 16, 8]),
        (100, None, [100, *range(96, 0, -8)]),
        (256, None, [256, *range(240, 0, -16)]),
        (12, "attention", [12, *range(11, 0, -1)]),
        (64, "attention", [64, *range(60, 0, -4)]),
    ],
)
def test_widths_fall_in_steps_that_kernels_like(blocks, attention, widths):
    assert unit("a", blocks, attention=attention).widths() == widths


@pytest.mark.parametrize("blocks", [2, 3, 8, 33, 127, 768, 3072])
def test_widths_hold_the_whole_and_never_nothing(blocks):
    widths = unit("a", blocks).widths()
    assert widths[0] == blocks
    assert min(widths) >= 1
    assert widths == sorted(set(widths), reverse=True)


@pytest.mark.parametrize(
    ("importance", "size", "width", "gone"),
    [
        ([3, 1, 2], 1, 3, []),
        ([3, 1, 2], 1, 2, [1]),
        ([3, 1, 2], 1, 1, [1, 2]),
        ([1, 3, 2], 4, 2, [0, 1, 2, 3]),
        ([5, 1, 1, 1], 1, 3, [1]),
        ([2, 1, 3], 2, 1, [0, 1, 2, 3]),
    ],
)
def test_the_least_important_blocks_go_whole_and_in_order(importance, size, width, gone):
    made = unit("a", len(importance), importance=np.array(importance, float), size=size)
    assert made.channels(width).tolist() == gone


@pytest.mark.parametrize(
    ("ratio", "widths"), [(0.01, (16, 32)), (0.25, (12, 24)), (0.5, (8, 16)), (0.99, (1, 8))]
)
def test_uniform_takes_the_nearest_width_of_each(ratio, widths):
    assert uniform([unit("a", 16), unit("b", 32)], ratio) == widths


@pytest.mark.parametrize(
    ("table", "widths", "wanted"),
    [
        (BY_INPUTS, (16, 16), 1.0),
        (BY_INPUTS, (4, 16), 0.25),
        (BY_INPUTS, (16, 4), 1.0),
        (BY_OUTPUTS, (16, 4), 0.25),
        (BY_INPUTS * BY_OUTPUTS, (8, 8), 0.25),
        (FLAT, (2, 2), 1.0),
        (BY_INPUTS, (1, 16), 0.125),  # what was not timed counts as the least that was
    ],
)
def test_a_layer_between_two_units_is_read_on_both_sides(table, widths, wanted):
    units = [unit("a", 16, reads=("both",)), unit("b", 16, writes=("both",))]
    assert Times(units, {"both": table}).milliseconds(widths) == pytest.approx(wanted)


def test_times_of_layers_add_up_and_strangers_take_their_whole_time():
    units = [unit("a", 16)]
    times = Times(units, {"a.r": BY_INPUTS, "a.w": 2 * BY_OUTPUTS, "other": 7 * BY_INPUTS})
    assert times.milliseconds((16,)) == pytest.approx(10)
    assert times.milliseconds((8,)) == pytest.approx(7 + 0.5 + 1)


def two(costs_a, costs_b, times_a=BY_INPUTS, times_b=BY_INPUTS):
    units = [unit("a", 8), unit("b", 8)]
    damage = [dict(zip((8, 6, 4, 2), costs, strict=True)) for costs in (costs_a, costs_b)]
    return damage, Times(units, {"a.r": times_a, "b.r": times_b})


CASES = {
    "nothing to do": ((0, 1, 2, 3), (0, 1, 2, 3), 2.0, (8, 8)),
    "the cheap one goes": ((0, 0.1, 0.2, 0.3), (0, 1, 2, 3), 1.25, (2, 8)),
    "the other cheap one goes": ((0, 1, 2, 3), (0, 0.1, 0.2, 0.3), 1.25, (8, 2)),
    "free of charge": ((0, 0, 0, 0), (0, 1, 2, 3), 1.25, (2, 8)),
    "both have to": ((0, 1, 2, 3), (0, 1, 2, 3), 0.5, (2, 2)),
    "a cliff is avoided": ((0, 0.1, 0.2, 9), (0, 0.3, 0.6, 0.9), 1.0, (4, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_search_finds_what_a_reader_would(name):
    costs_a, costs_b, limit, wanted = CASES[name]
    damage, times = two(costs_a, costs_b)
    assert fastest(damage, times, limit) == wanted


def test_a_time_below_the_narrowest_is_not_reached():
    damage, times = two((0, 1, 2, 3), (0, 1, 2, 3))
    assert fastest(damage, times, 0.49) is None


def test_a_unit_whose_width_saves_nothing_is_left_whole():
    damage, times = two((0, 0.1, 0.2, 0.3), (0, 1, 2, 3), times_a=FLAT)
    assert fastest(damage, times, 1.5) == (8, 4)
    assert fastest(damage, times, 0.9) is None


@pytest.mark.parametrize("seed", range(8))
def test_less_time_never_gives_less_damage_than_the_search_itself_found(seed):
    """Random tables: within every limit, and not beaten by its own answer to a tighter one."""
    rng = np.random.default_rng(seed)
    costs = [np.cumsum([0, *rng.uniform(0.01, 1, 3)]) for _ in "ab"]
    damage, times = two(*costs, rng.uniform(1, 3) * BY_INPUTS, rng.uniform(1, 3) * BY_INPUTS)
    whole = times.milliseconds((8, 8))
    found = [fastest(damage, times, share * whole) for share in (0.3, 0.5, 0.7, 0.9, 1.0)]
    total = [sum(d[w] for d, w in zip(damage, widths, strict=True)) for widths in found]
    for share, widths in zip((0.3, 0.5, 0.7, 0.9, 1.0), found, strict=True):
        assert times.milliseconds(widths) <= share * whole
    assert total[-1] == 0
    assert total[0] >= max(total[1:])
