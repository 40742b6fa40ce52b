"""Progress bars on stderr."""

from __future__ import annotations

import os

from tqdm import tqdm


def progress_bar(total: int, doing: str, unit: str = "patient") -> tqdm:
    """Return a bar for one slow step; use it as a context, or an error's line would stand behind the bar.

    Args:
        total: how many units there are; no bar is shown for none.
        doing: what is done to them, the bar's label.
        unit: what is counted.

    Returns:
        The bar, to be moved by `update`. Of several processes that torchrun started the first shows it.
    """
    hidden = not total or os.environ.get("RANK", "0") != "0"
    return tqdm(total=total, desc=doing, unit=unit, disable=hidden)
