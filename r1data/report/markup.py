"""Text for pages that read Markdown, such as Prefect's: what models wrote stays text there, drawings become pictures.

Such a page follows links and loads pictures that a text names, and swallows tags: `literal` keeps it from doing so.
"""

import re
from base64 import b64encode
from collections.abc import Sequence

from r1data.report.curves import VARIABLES

COLUMNS = 3
WIDTH, HEIGHT = 300, 192
FRAME = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" font-family="sans-serif">'
)
PLACE = '<svg x="{}" y="{}" width="{}" height="{}" '


def literal(text: str) -> str:
    """Any text as a code span in one line, so that nothing in it is markup."""
    line = " ".join(text.split())
    if not line:
        return ""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{ticks} {line} {ticks}"


def fenced(lines: Sequence[str]) -> str:
    """Lines of any text as a block of code; each stays one line, so that none can end the block."""
    body = "\n".join(f"  {' '.join(line.split())}" for line in lines)
    longest = max((len(run) for run in re.findall("~+", body)), default=0)
    fence = "~" * max(4, longest + 1)
    return f"{fence}text\n{body}\n{fence}"


def picture(told: str, drawings: Sequence[str]) -> str:
    """Small drawings of ours (`<svg>` elements) side by side as one Markdown image that carries its own data.

    It has a white ground and colours of its own: an image does not see the style of the page that it is in.
    """
    rows = -(-len(drawings) // COLUMNS)
    width, height = WIDTH * min(COLUMNS, len(drawings)), HEIGHT * rows
    placed = [
        svg.replace("<svg ", PLACE.format(WIDTH * (i % COLUMNS), HEIGHT * (i // COLUMNS), WIDTH, HEIGHT), 1)
        for i, svg in enumerate(drawings)
    ]
    ground = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    whole = "".join([FRAME.format(width, height), ground, *placed, "</svg>"])
    for colour, variable in VARIABLES.items():
        whole = whole.replace(variable, colour)
    return f"![{told}](data:image/svg+xml;base64,{b64encode(whole.encode()).decode()})"
