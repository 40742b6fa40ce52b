from __future__ import annotations

from pathlib import Path

import pytest

from mcf_bundle.errors import DataError
from mcf_bundle.generation.output_folder import SHARDS_FOLDER
from mcf_bundle.generation.shards import ManifestShards
from tests.generation.team import Team


@pytest.mark.parametrize("size", [1, 3])
def test_what_all_processes_append_is_read_in_row_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    ManifestShards(tmp_path).start()

    def append(rank: int) -> None:
        for row in range(7 - rank, -1, -size):
            ManifestShards(tmp_path).append({"row": row, "value": row / 3, "nan": float("nan")})

    assert Team(size, monkeypatch).run(append) == [None] * size
    records = ManifestShards(tmp_path).read()
    assert [record["row"] for record in records] == list(range(8))
    assert [record["value"] for record in records] == [row / 3 for row in range(8)]
    assert len(list((tmp_path / SHARDS_FOLDER).iterdir())) == size


def test_a_new_run_starts_without_the_shards_of_a_run_that_was_cut_short(tmp_path: Path) -> None:
    for row in (0, 1):
        shards = ManifestShards(tmp_path)
        shards.start()
        shards.append({"row": row})
        assert shards.read() == [{"row": row}]
    shards.remove()
    shards.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_shard_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    shards = ManifestShards(tmp_path / "gone")
    with pytest.raises(DataError, match=SHARDS_FOLDER):
        shards.start()
    with pytest.raises(DataError, match=r"0\.jsonl"):
        shards.append({"row": 0})
    shards = ManifestShards(tmp_path)
    shards.start()
    (shards.folder / "0.jsonl").write_text("{")
    with pytest.raises(DataError, match=SHARDS_FOLDER):
        shards.read()
