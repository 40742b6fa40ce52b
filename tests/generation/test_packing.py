"""A run as tar shards: WebDataset reads them, they come back byte by byte, damage is found."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import webdataset

from mcf_bundle.__main__ import main
from mcf_bundle.errors import ArgumentError, BusyError, DataError, PlanError
from mcf_bundle.folder_lock import claimed
from mcf_bundle.generation import packing
from mcf_bundle.generation.output_folder import RUN_FILE
from mcf_bundle.generation.packing import SHARDS_FILE, pack_run, unpack_run
from tests.file_contents import contents
from tests.full_disk import full_disk
from tests.generation.bundle_runs import OPEN_GATE, gate, make_workflow

COUNT = 5


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("packing") / "run"
    with gate(OPEN_GATE):
        make_workflow(phantom_cohort, folder, num_images=COUNT, steps=1, guidance_scale=0.0).run()
    return folder


@pytest.fixture
def packed(run: Path, tmp_path: Path) -> Path:
    pack_run(run, tmp_path / "packed", images_per_shard=2)
    return tmp_path / "packed"


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_webdataset_reads_every_image_with_its_mask_and_provenance(run: Path, packed: Path) -> None:
    shards = sorted(str(path) for path in packed.glob("*.tar"))
    assert len(shards) == 3
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert [json.loads(sample["json"]) for sample in samples] == records(run)
    for sample, record in zip(samples, records(run), strict=True):
        assert sample["__key__"] == f"{record['plan_id'][:12]}/{record['name']}"
        for extension, file in (("image.tif", record["image"]), ("mask.tif", record["label"])):
            assert np.array_equal(tifffile.imread(io.BytesIO(sample[extension])), tifffile.imread(run / file))


def test_the_same_run_gives_the_same_bytes(run: Path, packed: Path, tmp_path: Path) -> None:
    pack_run(run, tmp_path / "again", images_per_shard=2)
    assert contents(tmp_path / "again") == contents(packed)


def test_unpacking_brings_the_run_back_byte_by_byte(run: Path, packed: Path, tmp_path: Path) -> None:
    before = contents(run)
    assert unpack_run(packed, tmp_path / "back") == COUNT
    assert contents(tmp_path / "back") == before == contents(run)
    assert unpack_run(packed, tmp_path / "back") == COUNT  # an unpacking that is repeated changes nothing
    assert contents(tmp_path / "back") == before


def test_a_packing_that_was_cut_off_goes_on_after_the_last_whole_shard(
    run: Path, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(packed)
    (packed / SHARDS_FILE).unlink()
    (packed / "shard-000002.tar").rename(packed / ".shard-000002.tar.partial")
    cut = packed / "shard-000001.tar"
    cut.write_bytes(cut.read_bytes()[:3000])
    written: list[str] = []
    write = packing._write_shard
    monkeypatch.setattr(packing, "_write_shard", lambda *a: (written.append(a[0].name), write(*a)))
    pack_run(run, packed, images_per_shard=2)
    assert written == ["shard-000001.tar", "shard-000002.tar"]
    assert contents(packed) == whole


def test_a_full_disk_leaves_whole_shards_and_packing_goes_on(run: Path, packed: Path, tmp_path: Path) -> None:
    target = tmp_path / "short"
    with full_disk(room=9), pytest.raises(DataError, match="free disk space"):
        pack_run(run, target, images_per_shard=2)
    assert not list(target.glob(".*.partial"))
    pack_run(run, target, images_per_shard=2)
    assert contents(target) == contents(packed)


def test_an_image_that_is_not_what_the_manifest_says_is_never_packed(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    image = copy / records(copy)[3]["image"]
    image.write_bytes(image.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{image.name} is missing or not what the manifest says"):
        pack_run(copy, tmp_path / "packed", images_per_shard=2)
    assert [path.name for path in sorted((tmp_path / "packed").glob("*.tar"))] == ["shard-000000.tar"]
    assert not (tmp_path / "packed" / SHARDS_FILE).exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def remove(path: Path) -> None:
    path.unlink()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, remove, flip])
def test_a_damaged_shard_is_refused_by_name(
    packed: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(packed / "shard-000001.tar")
    with pytest.raises(DataError, match=r"shard-000001.tar: is missing or not what shards.json says"):
        unpack_run(packed, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def replace_shard(packed: Path, name: str, data: bytes) -> None:
    """Put a member of a name of its own into the first shard, and the new digest into the list."""
    shard = packed / "shard-000000.tar"
    with tarfile.open(shard, "a") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    listed = json.loads((packed / SHARDS_FILE).read_text())
    listed["shards"][0]["sha256"] = packing.hash_file(shard)
    (packed / SHARDS_FILE).write_text(json.dumps(listed))


@pytest.mark.parametrize(
    "name", ["../../evil.tif", "/tmp/evil.image.tif", "x/../../evil.image.tif", "evil.image.tif"]
)
def test_nothing_but_the_manifest_s_files_leaves_a_shard(packed: Path, tmp_path: Path, name: str) -> None:
    replace_shard(packed, name, b"evil")
    pattern = r"shard-000000.tar: holds \S+, which (no packing wrote|the manifest does not list)"
    with pytest.raises(DataError, match=pattern):
        unpack_run(packed, tmp_path / "back")
    assert not list(tmp_path.rglob("*evil*"))
    assert not (tmp_path / "back" / RUN_FILE).exists()


def test_a_list_that_leads_elsewhere_is_refused(packed: Path, tmp_path: Path) -> None:
    listed = json.loads((packed / SHARDS_FILE).read_text())
    listed["shards"][0]["name"] = "../shard-000000.tar"
    (packed / SHARDS_FILE).write_text(json.dumps(listed))
    with pytest.raises(DataError, match=r"is missing or not what shards.json says"):
        unpack_run(packed, tmp_path / "back")


def test_a_missing_image_is_named(packed: Path, tmp_path: Path) -> None:
    listed = json.loads((packed / SHARDS_FILE).read_text())
    del listed["shards"][2]
    (packed / SHARDS_FILE).write_text(json.dumps(listed))
    with pytest.raises(DataError, match="no shard holds"):
        unpack_run(packed, tmp_path / "back")


def test_folders_that_do_not_fit_are_refused_and_left(run: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="images_per_shard"):
        pack_run(run, tmp_path / "new", images_per_shard=0)
    with pytest.raises(DataError, match=r"plan.jsonl: is missing, so this is no folder of a run"):
        pack_run(tmp_path, tmp_path / "new")
    with pytest.raises(DataError, match=r"holds what this run's shards do not need: shard-000002.tar"):
        pack_run(run, packed, images_per_shard=4)
    (packed / "thesis.txt").write_text("all of it")
    with pytest.raises(DataError, match=r"thesis.txt"):
        pack_run(run, packed, images_per_shard=2)
    with pytest.raises(PlanError, match="holds what no run wrote there"):
        unpack_run(packed, tmp_path)
    with pytest.raises(DataError, match=r"shards.json: cannot be read .*; give the folder of .* shards"):
        unpack_run(run, tmp_path / "new")
    with claimed(run), pytest.raises(BusyError):
        pack_run(run, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_shards_of_another_run_are_refused(
    run: Path, packed: Path, phantom_cohort: Path, tmp_path: Path
) -> None:
    with gate(OPEN_GATE):
        make_workflow(phantom_cohort, tmp_path / "one", num_images=1, steps=1, guidance_scale=0.0).run()
    with pytest.raises(DataError, match=r"shard-00000"):
        pack_run(tmp_path / "one", packed)
    for shard in sorted(packed.glob("shard-*"))[1:]:
        shard.unlink()
    with pytest.raises(DataError, match=r"holds the shards of another run .plan \w{12}, this one is \w{12}"):
        pack_run(tmp_path / "one", packed)


def test_both_ways_by_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pack", str(run), "--output_dir", str(tmp_path / "tar"), "--images_per_shard", "3"])
    main(["unpack", str(tmp_path / "tar"), "--output_dir", str(tmp_path / "back")])
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"2 shards in {tmp_path / 'tar'}", f"{COUNT} images in {tmp_path / 'back'}"]
    assert contents(tmp_path / "back") == contents(run)
