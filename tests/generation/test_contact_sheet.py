from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcf_bundle.data.phantom import phantom_volume
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.generation.contact_sheet import (
    CELL,
    COLUMNS,
    FOOTER,
    GAP,
    HEADER,
    MARGIN,
    STRIP,
    draw_contact_sheet,
    save_contact_sheet,
)
from mcf_bundle.generation.tile import OUTLINE, Origin, Tile, sequence_pictures, tile_pictures


def phantom_tile(seed: int = 0, gain: float = 1.0) -> Tile:
    phantom = phantom_volume(seed, size=64)
    index = int(phantom.mask.sum(axis=(1, 2)).argmax())
    image, mask = (phantom.image[index] * gain).astype(np.uint8), phantom.mask[index]
    origin = Origin(image, image, mask, image)
    return Tile(f"SYN_PA_{seed:06d}", origin, image, mask, note="donor B")


@pytest.fixture(scope="module")
def tile() -> Tile:
    return phantom_tile()


def outlined(picture: Image.Image) -> np.ndarray:
    return (np.asarray(picture) == OUTLINE).all(axis=-1)


@pytest.mark.parametrize(("count", "blocks", "rows"), [(1, 1, 1), (8, 1, 8), (9, 2, 5)])
def test_sheet_has_a_row_for_each_image(tile: Tile, count: int, blocks: int, rows: int) -> None:
    sheet = draw_contact_sheet([tile] * count)
    block = COLUMNS * (CELL + GAP) - GAP
    width = blocks * (block + 2 * MARGIN)
    assert sheet.size == (width, MARGIN + HEADER + rows * (STRIP + CELL) + FOOTER)


def test_sheet_shows_no_more_rows_than_asked_for(tile: Tile) -> None:
    assert draw_contact_sheet([tile] * 5, max_tiles=2).size == draw_contact_sheet([tile] * 2).size


def test_sheet_tells_how_many_images_there_are(tile: Tile) -> None:
    all_of_them, some = draw_contact_sheet([tile]), draw_contact_sheet([tile], total=30)
    differing = np.nonzero((np.asarray(all_of_them) != np.asarray(some)).any(axis=(1, 2)))[0]
    assert differing.min() >= all_of_them.height - FOOTER


def test_sheet_without_images_can_be_drawn() -> None:
    assert draw_contact_sheet([]).height == MARGIN + HEADER + FOOTER


def test_sheet_with_no_rows_is_refused(tile: Tile) -> None:
    with pytest.raises(ArgumentError, match=r"^max_tiles: "):
        draw_contact_sheet([tile], max_tiles=0)


def test_only_donor_and_last_result_bear_the_outline(tile: Tile) -> None:
    pictures = tile_pictures(tile)
    captions = [picture.caption for picture in pictures if outlined(picture.image).any()]
    assert captions == ["donor", "result, mask"]
    assert len(pictures) == COLUMNS


def test_outline_runs_around_the_mask_and_leaves_the_tumor_visible(tile: Tile) -> None:
    plain, with_mask = (tile_pictures(tile)[i].image for i in (3, 4))
    edge = outlined(with_mask)
    np.testing.assert_array_equal(np.asarray(plain)[~edge], np.asarray(with_mask)[~edge])
    rows, columns = np.nonzero(edge)
    center = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
    assert not edge[center]
    assert edge.mean() < 0.05


def test_dark_scan_is_shown_as_bright_as_another(tile: Tile) -> None:
    bright, dark = (np.asarray(tile_pictures(t)[0].image, float) for t in (tile, phantom_tile(gain=0.3)))
    assert dark.mean() == pytest.approx(bright.mean(), rel=0.1)


def test_window_is_the_hosts_so_that_changes_of_the_result_are_visible(tile: Tile) -> None:
    darker = dataclasses.replace(tile, result=tile.result // 2)
    host, result = (np.asarray(tile_pictures(darker)[i].image, float).mean() for i in (0, 3))
    assert result < 0.7 * host


def test_first_pictures_show_the_channel_asked_for(tile: Tile) -> None:
    captions = [picture.caption for picture in tile_pictures(tile, channel=Channel.PRE)]
    assert captions[-2:] == ["result, FLAIR", "result, T1 post"]
    of_post = tile_pictures(tile, channel=Channel.POST)[3].image
    assert of_post.tobytes() == tile_pictures(tile)[-1].image.tobytes()


def test_image_of_unknown_origin_is_shown_alone(tile: Tile) -> None:
    alone = dataclasses.replace(tile, origin=None)
    captions = [picture.caption for picture in tile_pictures(alone)]
    assert captions == ["result", "result, mask", "result, T1 pre", "result, T1 post"]
    # The result of this tile is the host itself, so both choose the same frame and window.
    assert tile_pictures(alone)[0].image.tobytes() == tile_pictures(tile)[3].image.tobytes()
    assert draw_contact_sheet([alone]).width == 4 * (CELL + GAP) - GAP + 2 * MARGIN


@pytest.mark.parametrize(("sides", "expected"), [((16, 300), None), ((100, 300), 100), ((16, 40), 40)])
def test_sequences_are_drawn_at_the_size_of_the_host_s_pixels(
    tile: Tile, sides: tuple[int, int], expected: int | None
) -> None:
    sequences = sequence_pictures(tile, sides)
    assert list(sequences) == list(Channel)
    (side,) = {picture.image.size for pictures in sequences.values() for picture in pictures}
    assert side[0] == side[1]
    if expected is not None:
        assert side[0] == expected
    for channel, pictures in sequences.items():
        reference = tile_pictures(tile, channel=channel, side=side[0], all_channels=False)
        assert [p.image.tobytes() for p in pictures] == [p.image.tobytes() for p in reference]


def test_sequence_that_was_not_acquired_has_no_pictures(tile: Tile) -> None:
    copied = tile.result.copy()
    copied[Channel.POST] = copied[Channel.FLAIR]
    sequences = sequence_pictures(dataclasses.replace(tile, result=copied), (16, 300))
    assert [len(sequences[channel]) for channel in Channel] == [5, 5, 0]


def test_empty_pictures_can_be_drawn() -> None:
    black, nothing = np.zeros((3, 64, 96), np.uint8), np.zeros((64, 96), bool)
    origin = Origin(black, black, nothing, black)
    for picture in tile_pictures(Tile("", origin, black, nothing), side=50):
        assert picture.image.size == (50, 50)
        assert not np.asarray(picture.image).any()


def test_same_tiles_give_the_same_bytes(tile: Tile, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save_contact_sheet([tile], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.format == "PNG"
        assert saved.tobytes() == draw_contact_sheet([tile]).tobytes()


def test_unwritable_sheet_is_named(tile: Tile, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"contact_sheet.png: cannot be written"):
        save_contact_sheet([tile], tmp_path / "file" / "contact_sheet.png")
