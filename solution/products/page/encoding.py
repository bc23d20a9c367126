"""Pictures as text: what an HTML file holds in place of a file beside it."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

_QUALITIES = (82, 70, 55, 40, 25, 10)  # of WebP, from which the first that fits is taken
_LOSSLESS = 101  # OpenCV's name for it
_SAME_BYTES = {"svg.hashsalt": "page", "svg.fonttype": "path"}
DRAWING_BYTES = 110_000
"""That a figure takes at most."""
_DPI = 120
_TIGHT = {"bbox_inches": "tight", "pad_inches": 0.06}


def photo(pixels: np.ndarray, most_bytes: int) -> str:
    """(h, w, 3) RGB or (h, w) grey, uint8, as WebP of about `most_bytes` at most: a data URI.

    What does not fit at the lowest quality is made half as large.
    """
    while True:
        for quality in _QUALITIES:
            content = _webp(pixels, quality)
            if len(content) <= most_bytes:
                return _uri("image/webp", content)
        pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def drawing(figure: Figure) -> str:
    """A figure as SVG or as lossless WebP, whichever is smaller, or, if both are large, as lossy WebP: a data URI.

    Equal figures give equal text.
    """
    with rc_context(_SAME_BYTES):
        text = io.BytesIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, **_TIGHT)
        raster = io.BytesIO()
        figure.savefig(raster, format="png", dpi=_DPI, **_TIGHT)
    pixels = cv2.imdecode(np.frombuffer(raster.getvalue(), np.uint8), cv2.IMREAD_COLOR_RGB)
    svg, webp = text.getvalue(), _webp(pixels, _LOSSLESS)
    if min(len(svg), len(webp)) > DRAWING_BYTES:
        return photo(pixels, DRAWING_BYTES)
    return _uri("image/svg+xml", svg) if len(svg) < len(webp) else _uri("image/webp", webp)


def _webp(pixels: np.ndarray, quality: int) -> bytes:
    ordered = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])  # OpenCV writes blue first
    done, content = cv2.imencode(".webp", ordered, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of {pixels.shape} {pixels.dtype} cannot be encoded")
    return content.tobytes()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
