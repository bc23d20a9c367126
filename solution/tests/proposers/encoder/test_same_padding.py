"""Convolutions that pad for themselves give what a padded copy gives."""

from __future__ import annotations

import warnings

import pytest
import torch
from timm.layers import Conv2dSame

from solution.proposers.encoder.same_padding import SamePadded


@pytest.mark.parametrize("size", [(32, 48), (33, 48), (32, 47), (31, 7)])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [(3, 2, 1), (5, 2, 1), (3, 1, 1), (2, 1, 1), (3, 3, 1), (1, 2, 1), (3, 2, 2), (4, 2, 1)],
)
def test_outputs_are_those_of_a_padded_copy(kernel, stride, dilation, size):
    torch.manual_seed(0)
    plain = Conv2dSame(4, 4, kernel, stride, dilation=dilation, groups=2)
    image = torch.rand(2, 4, *size)
    with torch.no_grad():
        torch.testing.assert_close(SamePadded(plain)(image), plain(image), rtol=1e-5, atol=1e-6)


def test_a_traced_one_takes_images_of_other_even_sizes():
    plain = Conv2dSame(2, 2, 5, 2)
    image = torch.rand(1, 2, 64, 80)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the padding is a constant
        traced = torch.jit.trace(SamePadded(plain), torch.rand(1, 2, 32, 48))
        torch.testing.assert_close(traced(image), plain(image), rtol=1e-5, atol=1e-6)


def test_both_axes_have_a_stride_of_their_own():
    plain = Conv2dSame(1, 1, (3, 5), (2, 1))
    image = torch.rand(1, 1, 14, 20)
    with torch.no_grad():
        torch.testing.assert_close(SamePadded(plain)(image), plain(image), rtol=1e-5, atol=1e-6)
