"""A key URI as a QR code in SVG."""

from qrcode.constants import ERROR_CORRECT_M
from qrcode.main import QRCode

QUIET_ZONE = 4  # modules; ISO/IEC 18004 §6.3.8


def svg(text: str) -> str:
    """Dark modules on white with a quiet zone, as one ``<svg>`` element: a scanner reads it on a dark page too."""
    code = QRCode(error_correction=ERROR_CORRECT_M, border=QUIET_ZONE)
    # In bytes throughout: the library fails on a long run of zeros that it has packed as digits.
    code.add_data(text, optimize=0)
    code.make(fit=True)
    rows: list[list[bool]] = code.get_matrix()
    size = len(rows)
    path = "".join(f"M{x} {y}h{length}v1h-{length}z" for y, row in enumerate(rows) for x, length in _runs(row))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size * 6}" height="{size * 6}" '
        f'shape-rendering="crispEdges" role="img" aria-label="QR code for the authenticator app">'
        f'<path fill="#fff" d="M0 0h{size}v{size}h-{size}z"/><path fill="#000" d="{path}"/></svg>'
    )


def _runs(row: list[bool]) -> list[tuple[int, int]]:
    """Start and length of each stretch of dark modules."""
    runs: list[tuple[int, int]] = []
    start = None
    for x, dark in enumerate([*row, False]):
        if dark and start is None:
            start = x
        elif not dark and start is not None:
            runs.append((start, x - start))
            start = None
    return runs
