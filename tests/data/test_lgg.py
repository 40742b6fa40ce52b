"""Reading a folder in the LGG layout, and every way in which one can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mcf_bundle.data.lgg import dataset_root, institution_of, list_slices, read_cohort, read_volume
from mcf_bundle.data.phantom import write_phantom_cohort
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import DataError

PATIENTS = ("TCGA_CS_4941_19960909", "TCGA_DU_5849_19950405", "TCGA_HT_7473_19970826")
BAD = PATIENTS[1]


def write_patient(
    folder: Path, slices: int = 12, size: int = 32, first: int = 1, mask_value: int = 255
) -> None:
    folder.mkdir(parents=True)
    draw = np.random.default_rng(len(folder.name))
    for number in range(first, first + slices):
        tifffile.imwrite(folder / f"{folder.name}_{number}.tif", make_image(size, draw), photometric="rgb")
        mask = np.zeros((size, size), np.uint8)
        mask[4 : 4 + number, 5:9] = mask_value
        tifffile.imwrite(folder / f"{folder.name}_{number}_mask.tif", mask)


def make_image(size: int, draw: np.random.Generator | None = None) -> np.ndarray:
    return (draw or np.random.default_rng(0)).integers(0, 256, (size, size, 3), dtype=np.uint8)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "kaggle_3m"
    for patient in PATIENTS:
        write_patient(root / patient)
    (root / "README.md").write_text("about the data")
    (root / "data.csv").write_text("Patient,...")
    return root


def image_path(dataset: Path, number: int = 5) -> Path:
    return dataset / BAD / f"{BAD}_{number}.tif"


def mask_path(dataset: Path, number: int = 5) -> Path:
    return dataset / BAD / f"{BAD}_{number}_mask.tif"


# --- One patient alone -----------------------------------------------------------------------------


def test_a_missing_folder_of_a_patient_is_named(tmp_path: Path) -> None:
    for read in (read_volume, list_slices):
        with pytest.raises(DataError, match="no such folder") as caught:
            read(tmp_path / BAD)
        assert caught.value.where == str(tmp_path / BAD)


@pytest.mark.parametrize("name", [None, "somebody_else_1.tif"])
def test_a_folder_without_slices_of_its_patient_is_named(tmp_path: Path, name: str | None) -> None:
    folder = tmp_path / BAD
    folder.mkdir()
    if name:
        (folder / name).touch()
    with pytest.raises(DataError, match=f"holds no files {BAD}_<slice>.tif") as caught:
        read_volume(folder)
    assert caught.value.where == str(folder)


# --- What is read ----------------------------------------------------------------------------------


def test_all_patients_are_read_in_order_of_their_names(dataset: Path) -> None:
    cohort = read_cohort(dataset)
    assert tuple(volume.patient for volume in cohort.volumes) == PATIENTS
    assert [volume.institution for volume in cohort.volumes] == ["CS", "DU", "HT"]
    assert cohort.root == dataset
    assert cohort.skipped == {}


def test_the_parent_of_the_downloaded_folder_works_too(dataset: Path) -> None:
    assert dataset_root(dataset.parent) == dataset_root(dataset) == dataset


def test_slices_stand_by_number_and_not_by_name(dataset: Path) -> None:
    volume = read_volume(dataset / BAD)
    assert volume.slice_numbers == tuple(range(1, 13))  # by name, 10 would come before 2
    for position, number in enumerate(volume.slice_numbers):
        stored = tifffile.imread(image_path(dataset, number))
        assert (volume.image[position] == stored.transpose(2, 0, 1)).all()
        assert (volume.mask[position] == (tifffile.imread(mask_path(dataset, number)) > 0)).all()
    assert volume.image.shape == (12, 3, 32, 32)
    assert (volume.flair == volume.image[:, Channel.FLAIR]).all()
    assert volume.labels.all()


def test_masks_of_zero_and_one_are_read_like_those_of_zero_and_255(tmp_path: Path) -> None:
    write_patient(tmp_path / "a" / BAD, mask_value=1)
    write_patient(tmp_path / "b" / BAD, mask_value=255)
    one, two = (read_volume(tmp_path / name / BAD) for name in "ab")
    assert one.mask.dtype == np.bool_
    assert (one.mask == two.mask).all()


def test_numbers_may_start_anywhere(tmp_path: Path) -> None:
    write_patient(tmp_path / BAD, slices=3, first=7)
    assert [item.number for item in list_slices(tmp_path / BAD)] == [7, 8, 9]


def test_files_of_other_names_are_passed_over(dataset: Path) -> None:
    for name in ("Thumbs.db", f"._{BAD}_1.tif", "notes.txt"):
        (dataset / BAD / name).write_text("not a slice")
    (dataset / "empty").mkdir()
    assert len(read_cohort(dataset).volumes) == 3


@pytest.mark.parametrize(
    ("patient", "institution"), [(PATIENTS[0], "CS"), ("SYN_HT_000001", "HT"), ("patient", ""), ("a_b", "")]
)
def test_the_institution_is_the_second_part_of_the_name(patient: str, institution: str) -> None:
    assert institution_of(patient) == institution


def test_a_phantom_cohort_is_a_dataset(phantom_cohort: Path) -> None:
    cohort = read_cohort(phantom_cohort)
    assert len(cohort.volumes) == 12
    assert all(volume.labels.any() and not volume.labels.all() for volume in cohort.volumes)
    assert {volume.image.shape[1:] for volume in cohort.volumes} == {(3, 64, 64)}


# --- What is refused -------------------------------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder; give the downloaded kaggle_3m folder"):
        read_cohort(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_text("zip")
    with pytest.raises(DataError, match=r"archive\.zip: no such folder"):
        read_cohort(tmp_path / "archive.zip")


@pytest.mark.parametrize("content", [(), ("kaggle_3m",), ("some_patient", "another")])
def test_a_folder_without_patients_is_refused(tmp_path: Path, content: tuple[str, ...]) -> None:
    for name in content:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="holds no patient folders"):
        read_cohort(tmp_path)


def truncate(share: float) -> Callable[[Path], Path]:
    def damage(dataset: Path) -> Path:
        path = image_path(dataset)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return damage


def truncate_mask(dataset: Path) -> Path:
    path = mask_path(dataset)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def cut_directory(dataset: Path) -> Path:
    """Cut a compressed file, whose directory stands behind the pixels: tifffile then finds no page."""
    path = image_path(dataset)
    Image.fromarray(make_image(32)).save(path, compression="tiff_deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def write_text(dataset: Path) -> Path:
    image_path(dataset).write_text("<html>404</html>")
    return image_path(dataset)


def remove_image(dataset: Path) -> Path:
    image_path(dataset).unlink()
    return mask_path(dataset)


def remove_mask(dataset: Path) -> Path:
    mask_path(dataset).unlink()
    return image_path(dataset)


def remove_slice(dataset: Path) -> Path:
    image_path(dataset).unlink()
    mask_path(dataset).unlink()
    return dataset / BAD


def repeat_slice(dataset: Path) -> Path:
    path = image_path(dataset).with_name(f"{BAD}_05.tif")
    path.write_bytes(image_path(dataset).read_bytes())
    return image_path(dataset)


def replace_image(image: np.ndarray, **options: object) -> Callable[[Path], Path]:
    def damage(dataset: Path) -> Path:
        tifffile.imwrite(image_path(dataset), image, **options)
        return image_path(dataset)

    return damage


def replace_mask(mask: np.ndarray, **options: object) -> Callable[[Path], Path]:
    def damage(dataset: Path) -> Path:
        tifffile.imwrite(mask_path(dataset), mask, **options)
        return mask_path(dataset)

    return damage


def resize_patient(dataset: Path) -> Path:
    for path in (dataset / BAD).iterdir():
        path.unlink()
    (dataset / BAD).rmdir()
    write_patient(dataset / BAD, size=64)
    return dataset / BAD


def mask_with(value: int) -> np.ndarray:
    mask = np.zeros((32, 32), np.uint8)
    mask[3, 4] = 255
    mask[5, 6] = value
    return mask


RGB = {"photometric": "rgb"}
DAMAGES = {
    "empty TIFF": (truncate(0.0), "cannot be read as TIFF"),
    "TIFF cut in its header": (truncate(0.01), "cannot be read as TIFF"),
    "TIFF cut in its pixels": (truncate(0.6), "cannot be read as TIFF"),
    "TIFF cut before its directory": (cut_directory, ""),
    "mask cut at its end": (truncate_mask, "cannot be read as TIFF"),
    "text instead of TIFF": (write_text, "cannot be read as TIFF"),
    "image without mask": (remove_mask, "has no mask beside it"),
    "mask without image": (remove_image, "has no image beside it"),
    "gap in the numbers": (remove_slice, "slice 5 is missing between"),
    "number twice": (repeat_slice, f"slice 5 is there twice, also as {BAD}_05.tif"),
    "gray image": (
        replace_image(make_image(32)[..., 0]),
        "expected height x width x 3 in uint8, got 32 x 32",
    ),
    "four channels": (replace_image(np.zeros((32, 32, 4), np.uint8), **RGB), "got 32 x 32 x 4 in uint8"),
    "16 bits": (replace_image(make_image(32).astype(np.uint16), **RGB), "got 32 x 32 x 3 in uint16"),
    "one slice of another size": (replace_image(make_image(64), **RGB), "the first slice 32 x 32"),
    "side of no multiple of 32": (replace_image(make_image(40), **RGB), "must be multiples of 32"),
    "mask of another size": (replace_mask(np.zeros((64, 64), np.uint8)), "is 64 x 64 pixels"),
    "mask with gray": (replace_mask(mask_with(128)), "found 0, 128, 255"),
    "mask with one and 255": (replace_mask(mask_with(1)), "found 0, 1, 255"),
    "mask of three channels": (replace_mask(np.zeros((32, 32, 3), np.uint8), **RGB), "got 3 dimensions"),
    "patient of another size": (
        resize_patient,
        "slices are 64 x 64 pixels, those of most patients 32 x 32",
    ),
}


@pytest.fixture(params=sorted(DAMAGES))
def damage(request: pytest.FixtureRequest, dataset: Path) -> tuple[Path, str]:
    """Damage one patient; give the file that an error must name, and the problem that it must state."""
    inflict, problem = DAMAGES[request.param]
    return inflict(dataset), problem


def test_damage_is_named_with_file_problem_and_remedy(dataset: Path, damage: tuple[Path, str]) -> None:
    path, problem = damage
    with pytest.raises(DataError) as caught:
        read_cohort(dataset)
    assert caught.value.where == str(path)
    assert problem in caught.value.problem
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_bad_patients_are_skipped_and_listed_on_request(dataset: Path, damage: tuple[Path, str]) -> None:
    path, problem = damage
    cohort = read_cohort(dataset, skip_bad_patients=True)
    assert tuple(volume.patient for volume in cohort.volumes) == (PATIENTS[0], PATIENTS[2])
    assert cohort.skipped.keys() == {BAD}
    assert cohort.skipped[BAD].startswith(f"{path.relative_to(dataset).as_posix()}: ")
    assert str(dataset) not in cohort.skipped[BAD]
    assert problem in cohort.skipped[BAD]


def test_a_dataset_of_bad_patients_alone_is_an_error_all_the_same(tmp_path: Path) -> None:
    write_patient(tmp_path / BAD)
    write_text(tmp_path)
    with pytest.raises(DataError, match=r"no patient could be read \(.*_5\.tif: .*\); repair the files$"):
        read_cohort(tmp_path, skip_bad_patients=True)


def test_a_folder_whose_files_carry_another_name_is_named(tmp_path: Path) -> None:
    write_phantom_cohort(tmp_path / "cohort", 2, 0, size=64)
    folder = next(path for path in sorted((tmp_path / "cohort").iterdir()) if path.is_dir())
    folder.rename(folder.with_name("case_a"))
    with pytest.raises(DataError, match=r"case_a: its files are those of TCGA_"):
        read_cohort(tmp_path / "cohort")
    assert "case_a" in read_cohort(tmp_path / "cohort", skip_bad_patients=True).skipped
