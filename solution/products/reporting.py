"""The report page of a finished prediction."""

from __future__ import annotations

from pathlib import Path

from solution.core.outputs import check_outputs
from solution.products.outputs import Outputs
from solution.products.page.making import write_page
from solution.products.page.marking import MOST_BYTES
from solution.products.page.sources import on_disk_beside


def write_report(out: Path, optical: Path | None = None, sar: Path | None = None) -> Path:
    """Write the page of a finished prediction beside its map, from what lies there.

    Args:
        out: the offset map.
        optical, sar: where the images lie now; None = where the prediction read them.

    Returns:
        The page's path.

    Raises:
        InputError: as `page.sources.on_disk_beside` and `page.making.write_page`, or the page cannot be written.
    """
    files = Outputs.of(out)
    check_outputs([files.page], [files.map, files.report, files.table, files.sigma, optical, sar], MOST_BYTES)
    write_page(files.page, on_disk_beside(files.report, files.described_names(), optical, sar))
    return files.page
