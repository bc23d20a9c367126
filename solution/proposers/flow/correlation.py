"""Block correlations of two feature maps, and their means over windows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK_BLOCKS = 64  # that are multiplied together: their whole products must fit into memory


class _BlockCorrelation(torch.autograd.Function):
    """Sum over a block's cells of <optical feature, SAR feature displaced by d> for every d, one matrix product a
    block.

    The product compares all cells with all cells; the wanted ones lie on its displaced diagonals.
    """

    @staticmethod
    def _diagonals(product: Tensor, block: int, span: int) -> Tensor:
        """(N, block^2, S^2) -> view (N, block, block, span, span), S = block + span - 1, which `as_strided` takes in place."""
        side = block + span - 1
        n, y, x = side * side * block * block, block * side * side, side * side
        return product.as_strided((len(product), block, block, span, span), (n, y + side, x + 1, side, 1))

    @staticmethod
    def forward(ctx, optical: Tensor, sar: Tensor, block: int, span: int) -> Tensor:
        """optical (N, block^2, C), sar (N, C, S^2) -> (N, span, span)."""
        ctx.save_for_backward(optical, sar)
        ctx.sizes = (block, span)
        chunks = zip(optical.split(CHUNK_BLOCKS), sar.split(CHUNK_BLOCKS), strict=True)
        return torch.cat([_BlockCorrelation._sums(torch.bmm(a, b), block, span) for a, b in chunks])

    @staticmethod
    def _sums(product: Tensor, block: int, span: int) -> Tensor:
        """(N, block^2, S^2) -> (N, span, span), summed along one axis of the block and then along the other: long runs of
        memory, which is up to four times as fast as a sum over the diagonals."""
        side = block + span - 1
        product = product.view(-1, block, block, side, side)
        rows = sum(product[:, :, at, :, at : at + span] for at in range(block))
        return sum(rows[:, at, at : at + span] for at in range(block))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        optical, sar = ctx.saved_tensors
        block, span = ctx.sizes
        chunk = CHUNK_BLOCKS
        left, right = [], []
        for a, b, g in zip(optical.split(chunk), sar.split(chunk), gradient.split(chunk), strict=True):
            product = torch.zeros(len(a), a.shape[1], b.shape[2], dtype=a.dtype, device=a.device)
            _BlockCorrelation._diagonals(product, block, span).copy_(g.to(a.dtype)[:, None, None])
            left.append(torch.bmm(product, b.transpose(1, 2)))
            right.append(torch.bmm(a.transpose(1, 2), product))
        return torch.cat(left), torch.cat(right), None, None


def block_correlation(optical: Tensor, sar: Tensor, block: int, radius: int) -> Tensor:
    """Sums of feature products per block and displacement.

    Args:
        optical: (B, C, H, W) cells, H and W multiples of `block`.
        sar: (B, C, H + 2 radius, W + 2 radius): the same cells with a margin.
        block: side of a block in cells.
        radius: search radius in cells.

    Returns:
        (B, H / block, W / block, 2 radius + 1, 2 radius + 1); the last two axes are the displacement in y and x, from
        -radius.
    """
    if torch.is_grad_enabled() or optical.shape[2] == block:
        return _correlate_rows(optical, sar, block, radius)
    # The displaced copies of a whole tile would take gigabytes at a large radius; one row of blocks at a time takes
    # megabytes.
    rows = [
        _correlate_rows(optical[:, :, top : top + block], sar[:, :, top : top + block + 2 * radius], block, radius)
        for top in range(0, optical.shape[2], block)
    ]
    return torch.cat(rows, dim=1)


def _correlate_rows(optical: Tensor, sar: Tensor, block: int, radius: int) -> Tensor:
    batch, channels, height, width = optical.shape
    rows, columns, span = height // block, width // block, 2 * radius + 1
    left = optical.reshape(batch, channels, rows, block, columns, block).permute(0, 2, 4, 3, 5, 1)
    left = left.reshape(batch * rows * columns, block * block, channels)
    side = block + 2 * radius
    right = sar.unfold(2, side, block).unfold(3, side, block).permute(0, 2, 3, 1, 4, 5)
    right = right.reshape(batch * rows * columns, channels, side * side)
    return _BlockCorrelation.apply(left, right, block, span).reshape(batch, rows, columns, span, span)


def pair_counts(optical_valid: Tensor, sar_valid: Tensor, block: int, radius: int) -> Tensor:
    """How many valid cell pairs each sum of `block_correlation` holds (same shapes, one channel).

    The count is taken as the product of both valid shares: exact where either is whole, else close, and far cheaper.
    """
    span = 2 * radius + 1
    optical = F.avg_pool2d(optical_valid, block)[:, 0]
    sar = F.avg_pool2d(sar_valid, block, 1)[:, 0].unfold(1, span, block).unfold(2, span, block)
    return block * block * optical[..., None, None] * sar


def correlation_volume(
    optical: Tensor,
    sar: Tensor,
    optical_valid: Tensor,
    sar_valid: Tensor,
    block: int,
    radius: int,
    windows: tuple[int, ...],
) -> Tensor:
    """Window means (B, h, w, windows, D, D) of features (B, C, H, W) and validity (B, 1, H, W), in cells; SAR cells beyond
    the border are invalid.

    Args:
        block, radius, windows: as `block_correlation` and `window_means`.
    """
    margin = (radius,) * 4
    sums = block_correlation(optical * optical_valid, F.pad(sar * sar_valid, margin), block, radius)
    return window_means(sums, pair_counts(optical_valid, F.pad(sar_valid, margin), block, radius), windows)


def window_means(volume: Tensor, weight: Tensor, windows: tuple[int, ...]) -> Tensor:
    """Weighted means of block correlations over square windows.

    Args:
        volume: (B, h, w, D, D) sums.
        weight: (B, h, w, D, D) how many cell pairs each sum holds.
        windows: odd sides in blocks.

    Returns:
        (B, h, w, len(windows), D, D).
    """
    batch, rows, columns, span, _ = volume.shape
    flat = torch.cat([volume, weight]).reshape(2 * batch, rows, columns, span * span).permute(0, 3, 1, 2)
    means = []
    for side in windows:
        pooled = flat if side == 1 else F.avg_pool2d(flat, side, 1, side // 2)
        total, count = pooled.chunk(2)
        means.append(total / count.clamp_min(1.0))
    stacked = torch.stack(means, dim=1)
    return stacked.permute(0, 3, 4, 1, 2).reshape(batch, rows, columns, len(windows), span, span)


def agreement(means: Tensor) -> float:
    """How well two images agree where a shift that all blocks share has brought them together, by the largest windows: what
    that shift gives on average, less what all displacements give, in standard deviations; 0 where nothing is seen.

    Args:
        means: (B, h, w, windows, D, D) window means, 0 where there is no data.
    """
    planes = means[..., -1, :, :].flatten(3)
    planes = planes[planes.any(dim=-1)]
    if not len(planes):
        return 0.0
    centred = planes - planes.mean(dim=1, keepdim=True)
    deviation = float(centred.square().mean().sqrt())
    return float(centred.mean(dim=0).max()) / deviation if deviation > 0 else 0.0
