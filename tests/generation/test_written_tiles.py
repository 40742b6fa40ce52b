from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.errors import DataError
from mcf_bundle.generation.materials import prepare_materials
from mcf_bundle.generation.plan import Plan
from mcf_bundle.generation.writer import case_files, case_name, write_case
from mcf_bundle.generation.written_tiles import WrittenTiles
from tests.generation.disc_rows import MIDDLE, disc_cases, plan_row

FIGURES = dict.fromkeys(("tumor_probability", "flair_contrast", "change_outside", "nearest_correlation"), 0.5)


def record_of(plan: Plan, row: int, number: int) -> dict[str, Any]:
    """Make the parts of a line of the manifest that a tile shows."""
    chosen = plan.rows[row].candidates[number]
    parts = {"host": vars(chosen.host), "donor": vars(chosen.donor), "transform": chosen.transform.to_dict()}
    name = case_name("XX", row)
    return {"row": row, "name": name, "candidate": number, "mask_pixels": 1, "gate": FIGURES, **parts}


def test_a_tile_is_read_from_the_files_and_made_from_the_candidate_that_was_kept(tmp_path: Path) -> None:
    cases = disc_cases(hosts=2)
    plan = Plan({}, (plan_row(cases, [1]), plan_row(cases, [2, 3], row=1, host="h1")))
    made = prepare_materials(plan.rows[1], plan.rows[1].candidates[1], cases)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *made.composite.image.shape[1:]), np.uint8)
    write_case(tmp_path, case_name("XX", 1), pixels, made.composite.mask)
    tiles = WrittenTiles(tmp_path, plan, [record_of(plan, 1, 1)], cases)
    (tile,) = tiles
    np.testing.assert_array_equal(tile.result, pixels[1])
    np.testing.assert_array_equal(tile.mask, made.composite.mask[1])
    assert tile.origin is not None
    np.testing.assert_array_equal(tile.origin.host, cases["h1"].volume.image[MIDDLE])
    np.testing.assert_array_equal(tile.origin.composite, made.host.scale.denormalize(made.composite.image)[1])


def test_only_the_tiles_that_are_drawn_are_read(tmp_path: Path) -> None:
    cases = disc_cases()
    plan = Plan({}, tuple(plan_row(cases, [row], row=row) for row in range(3)))
    tiles = WrittenTiles(tmp_path, plan, [record_of(plan, row, 0) for row in range(3)], cases)
    assert [len(part) for part in (tiles, tiles[:2], tiles[5:])] == [3, 2, 0]
    (tmp_path / "SYN_XX_000001").mkdir()
    for name in case_files("SYN_XX_000001"):
        (tmp_path / "SYN_XX_000001" / name).write_bytes(b"II*")
    with pytest.raises(DataError, match="SYN_XX_000001"):
        tiles[1:][0]
