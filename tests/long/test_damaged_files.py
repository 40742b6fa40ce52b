"""The corpus of damaged files at full size: each cut after every tenth byte, thousands of flipped bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.damage import HEAD, STEP, all_damages, try_damages
from tests.damage_targets import make_targets

pytestmark = pytest.mark.long

FLIPS = 1000


def test_every_one_of_thousands_of_damaged_files_is_refused_by_name_or_read_as_it_was(
    tmp_path: Path, phantom_cohort: Path
) -> None:
    print("\n" + HEAD)
    for target in make_targets(tmp_path, phantom_cohort):
        content = target.path.read_bytes()
        cuts = -(-len(content) // STEP)
        tally = try_damages(target, all_damages(content, cuts=cuts, flips=FLIPS, seed=1))
        print(tally, f"  of which {cuts} cuts, {FLIPS} flipped bits", flush=True)
        tally.check()
