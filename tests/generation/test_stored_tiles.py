"""Tiles read from a run's files, with what the images were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.errors import DataError
from mcf_bundle.generation.materials import Materials, hash_inputs, prepare_materials
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.stored_tiles import StoredTiles
from mcf_bundle.generation.writer import case_files, case_name, write_case
from tests.generation.disc_rows import MIDDLE, SETTINGS, disc_cases, plan_row

FIGURES = dict.fromkeys(("tumor_probability", "flair_contrast", "change_outside", "nearest_correlation"), 0.5)
RULES = PlacementRules()
CASES = disc_cases(hosts=2)


def made(row: int, host: str = "h0") -> Materials:
    planned = plan_row(CASES, [row], row=row, host=host)
    return prepare_materials(planned, planned.candidates[0], CASES, RULES)


def record_of(item: Materials) -> dict[str, Any]:
    """Make the parts of a line of the manifest that a tile needs."""
    chosen, row = item.candidate, item.row.row
    return {
        "row": row,
        "name": case_name("XX", row),
        "host": vars(chosen.host),
        "donor": vars(chosen.donor),
        "transform": chosen.transform.to_dict(),
        "seed": chosen.seed,
        "settings": SETTINGS,
        "mask_pixels": 1,
        "gate": FIGURES,
        "input_sha256": hash_inputs(item, CASES[chosen.donor.patient]),
    }


def write(folder: Path, item: Materials) -> np.ndarray:
    """Write a case of random gray levels and return them."""
    shape = (3, *item.composite.image.shape[1:])
    pixels = np.random.default_rng(item.row.row).integers(0, 256, shape, np.uint8)
    write_case(folder, case_name("XX", item.row.row), pixels, item.composite.mask)
    return pixels


def test_a_tile_has_the_files_pixels_and_what_the_record_says_they_were_made_from(tmp_path: Path) -> None:
    item = made(1, "h1")
    pixels = write(tmp_path, item)
    (tile,) = StoredTiles(tmp_path, [record_of(item)], CASES, RULES)
    np.testing.assert_array_equal(tile.result, pixels[1])
    np.testing.assert_array_equal(tile.mask, item.composite.mask[1])
    assert tile.origin is not None
    np.testing.assert_array_equal(tile.origin.host, CASES["h1"].volume.image[MIDDLE])
    np.testing.assert_array_equal(tile.origin.donor, CASES["d0"].volume.image[MIDDLE])
    np.testing.assert_array_equal(tile.origin.donor_mask, CASES["d0"].volume.mask[MIDDLE])
    composite = item.host.scale.denormalize(item.composite.image)
    np.testing.assert_array_equal(tile.origin.composite, composite[1])
    assert f"h1 slice {MIDDLE + 1} + d0 slice {MIDDLE + 1}" == tile.note


def test_patients_are_found_and_told_of_by_their_names_in_the_record(tmp_path: Path) -> None:
    item = made(0)
    write(tmp_path, item)
    record = record_of(item)
    for role in ("host", "donor"):
        record[role] = record[role] | {"patient": record[role]["patient"].upper()}
    renamed = {name.upper(): case for name, case in CASES.items()}
    (hidden,), (plain,) = (
        StoredTiles(tmp_path, [line], cases, RULES)
        for line, cases in ((record, renamed), (record_of(item), CASES))
    )
    assert hidden.origin is not None
    assert plain.origin is not None
    np.testing.assert_array_equal(hidden.origin.composite, plain.origin.composite)
    assert "h0" not in f"{hidden.note} {hidden.facts}"


def test_without_the_patients_there_is_no_origin(tmp_path: Path) -> None:
    item = made(0)
    write(tmp_path, item)
    (tile,) = StoredTiles(tmp_path, [record_of(item)], {}, RULES)
    assert tile.origin is None


def test_other_pixels_than_the_run_used_are_refused(tmp_path: Path) -> None:
    item = made(0)
    write(tmp_path, item)
    record = record_of(item) | {"input_sha256": "0" * 64}
    with pytest.raises(DataError, match="dataset_dir: holds other pixels of h0 or d0"):
        StoredTiles(tmp_path, [record], CASES, RULES)[0]


def test_only_the_tiles_that_are_drawn_are_read(tmp_path: Path) -> None:
    tiles = StoredTiles(tmp_path, [record_of(made(row)) for row in range(3)], CASES, RULES)
    assert [len(part) for part in (tiles, tiles[:2], tiles[5:])] == [3, 2, 0]
    (tmp_path / "SYN_XX_000001").mkdir()
    for name in case_files("SYN_XX_000001"):
        (tmp_path / "SYN_XX_000001" / name).write_bytes(b"II*")
    with pytest.raises(DataError, match="SYN_XX_000001"):
        tiles[1:][0]
