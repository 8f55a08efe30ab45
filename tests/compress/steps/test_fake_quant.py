"""Numbers that are rounded to integers stay within half a step, and 0 stays 0."""

import numpy as np
import pytest
import torch

from surefoot.compress.steps._fake_quant import (
    activation_range,
    already,
    fake_quantise,
    integers,
    weight_range,
)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


RANGES = [(0, 0, 255), (100, 0, 255), (0, -127, 127), (0, -7, 7), (0, -1, 1)]
"""Zero point, smallest and largest integer."""


@pytest.mark.parametrize(("zero", "low", "high"), RANGES)
def test_within_the_range_nothing_is_off_by_more_than_half_a_step(zero, low, high):
    scale = 0.03
    values = torch.linspace((low - zero) * scale, (high - zero) * scale, 997)
    found = fake_quantise(values, torch.tensor(scale).log(), zero, low, high, None)
    assert (found - values).abs().max() <= scale / 2 + 1e-6


@pytest.mark.parametrize(("zero", "low", "high"), RANGES)
def test_beyond_the_range_numbers_are_cut_off_at_its_ends(zero, low, high):
    scale = torch.tensor(0.5)
    found = fake_quantise(torch.tensor([-1e6, 0.0, 1e6]), scale.log(), zero, low, high, None)
    wanted = torch.tensor([low - zero, 0.0, high - zero]) * 0.5
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("zero", "low", "high"), RANGES)
def test_the_integers_are_those_that_it_rounded_to(zero, low, high):
    values, scale = drawn(500, seed=high) * 3, torch.tensor(0.04)
    how = (scale.log(), zero, low, high, None)
    whole = integers(values, *how)
    assert whole.dtype == torch.int32
    assert low <= int(whole.min())
    assert int(whole.max()) <= high
    torch.testing.assert_close((whole - zero) * scale, fake_quantise(values, *how))


def test_rounding_twice_is_rounding_once():
    values, how = drawn(200), (torch.tensor(0.1).log(), 3, 0, 31, None)
    once = fake_quantise(values, *how)
    torch.testing.assert_close(fake_quantise(once, *how), once)
    assert already(once, *how) is once


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_scale_per_channel_is_that_of_the_channel_alone(axis):
    values = drawn(3, 4, 5)
    scales = torch.linspace(0.01, 0.2, values.shape[axis])
    found = fake_quantise(values, scales.log(), 0, -7, 7, axis)
    whole = integers(values, scales.log(), 0, -7, 7, axis)
    for place, scale in enumerate(scales):
        alone = values.select(axis, place)
        wanted = fake_quantise(alone, scale.log(), 0, -7, 7, None)
        torch.testing.assert_close(found.select(axis, place), wanted)
        wanted = integers(alone, scale.log(), 0, -7, 7, None)
        assert torch.equal(whole.select(axis, place), wanted)


def test_gradients_pass_where_nothing_is_cut_off_and_nowhere_else():
    values = torch.tensor([-5.0, 0.26, 5.0], requires_grad=True)
    fake_quantise(values, torch.tensor(0.1).log(), 0, -7, 7, None).sum().backward()
    assert values.grad.tolist() == pytest.approx([0, 1, 0])


@pytest.mark.parametrize(
    "values",
    [
        torch.linspace(0, 6, 50),  # behind a ReLU
        torch.linspace(-6, -1, 50),  # 0 does not lie among them
        torch.linspace(2, 3, 50),
        torch.linspace(-1, 4, 50),
        torch.zeros(50),
        torch.full((50,), 3.0),
    ],
)
def test_the_range_of_an_activation_holds_0_exactly(values):
    log_scale, zero = activation_range([values])
    assert 0 <= zero <= 255
    assert torch.isfinite(log_scale)
    assert fake_quantise(torch.zeros(1), log_scale, zero, 0, 255, None).item() == 0
    found = fake_quantise(values, log_scale, zero, 0, 255, None)
    assert (found - values).abs().max() <= 0.6 * np.exp(float(log_scale)) + 1e-6


def test_the_calls_that_activations_come_from_do_not_matter():
    values = drawn(600).abs()
    parts = [values[:10].reshape(2, 5), values[10:310], values[310:].reshape(29, 10)]
    (one, zero), (other, same) = activation_range(parts), activation_range([values])
    assert (one, zero) == (other, same)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_range_of_the_whole_weight_errs_less_than_one_per_channel(bits):
    weight = drawn(6, 3, 3, 3) * torch.logspace(-2, 1, 6).reshape(6, 1, 1, 1)
    top = 2 ** (bits - 1) - 1
    error = {}
    for per_channel, axis in ((True, 0), (False, None)):
        scale = weight_range(weight, bits, per_channel=per_channel)
        assert scale.shape == ((6,) if per_channel else ())
        found = fake_quantise(weight, scale, 0, -top, top, axis)
        error[per_channel] = float((found - weight).square().mean())
    assert error[True] < error[False]


def test_the_range_of_a_weight_beats_that_of_its_largest_number():
    weight = drawn(4, 100)
    plain = (weight.abs().amax(1) / 7).log()
    found = weight_range(weight, 4, per_channel=True)
    assert (found <= plain + 1e-6).all()

    def error(scale):
        return (fake_quantise(weight, scale, 0, -7, 7, 0) - weight).square().mean(1)

    assert (error(found) < error(plain)).all()


def test_outputs_may_lie_on_another_axis():
    weight = drawn(5, 8)
    across = weight_range(weight.T, 8, per_channel=True, axis=1)
    torch.testing.assert_close(across, weight_range(weight, 8, per_channel=True))


def test_a_channel_of_zeros_has_a_scale_and_stays_zero():
    weight = drawn(2, 9)
    weight[1] = 0
    scale = weight_range(weight, 8, per_channel=True)
    assert torch.isfinite(scale).all()
    assert (fake_quantise(weight, scale, 0, -127, 127, 0)[1] == 0).all()
