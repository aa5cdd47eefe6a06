"""A convolution by its spectrum is the convolution."""

import pytest
import torch
import torch.nn.functional as F

from errseg.modeling import spectrum
from errseg.modeling.spectrum import conv_by_spectrum, fast_length


@pytest.mark.parametrize(("height", "width"), [(4, 9), (2, 1)])
def test_it_is_the_convolution_in_parts_and_at_borders(height, width, monkeypatch):
    monkeypatch.setattr(spectrum, "AT_ONCE", 2 * 5 * 10 * 15)
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, generator=generator) for shape in ((5, 3, height, width), (5, 3, 7, 7), (5,))
    )
    expected = F.conv2d(x, weight, bias, padding=3)
    found = conv_by_spectrum(x, weight, bias)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(conv_by_spectrum(x, weight, None), expected - bias[:, None, None], atol=2e-5, rtol=1e-4)


def test_lengths_have_small_prime_factors():
    assert [fast_length(least) for least in (30, 31, 37, 1)] == [30, 32, 40, 1]
