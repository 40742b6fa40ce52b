"""What the paper printed, beside what the study found.

Printed figures: Zuo, Xue and Yuan, Multi channel fusion diffusion models for brain tumor MRI data
augmentation, Scientific Reports 2025: its tables of segmentation, classification and FID, and its comparison
with fusion without the neighbors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from mcf_bundle.generation.image_evaluation_measures import WHOLE
from mcf_bundle.generation.image_evaluation_sets import SYNTHETIC
from mcf_bundle.generation.report_table import Cell, Table
from mcf_bundle.study.comparisons import kind_of, real_only
from mcf_bundle.study.config import GENERATED, StudyConfig
from mcf_bundle.study.figures import ArmFigure
from mcf_bundle.study.measures import MEASURES, SEGMENTATION_MEASURES
from mcf_bundle.study.splits import CROSS_VALIDATION
from mcf_bundle.study.tables import Record, StudyTable, plain, with_interval
from mcf_bundle.training.classification_report import ALL


class Printed(NamedTuple):
    """A figure of the paper for the raw data and with generated images."""

    model: str
    measure: str
    raw: float
    generated: float


PRINTED_SEGMENTATION = (
    Printed("U-Net", "Jaccard", 0.6877, 0.7223),
    Printed("U-Net", "Dice", 0.7884, 0.8129),
    Printed("U-Net", "HD95", 12.49, 10.16),
    Printed("U-Net", "ASD", 4.43, 3.36),
    Printed("SegNet", "Jaccard", 0.4458, 0.4599),
    Printed("SegNet", "Dice", 0.5432, 0.5573),
    Printed("SegNet", "HD95", 27.96, 25.04),
    Printed("SegNet", "ASD", 11.37, 7.81),
    Printed("Mask R-CNN", "Jaccard", 0.7753, 0.8010),
    Printed("Mask R-CNN", "Dice", 0.8647, 0.8807),
    Printed("Mask R-CNN", "HD95", 9.71, 8.97),
    Printed("Mask R-CNN", "ASD", 2.05, 2.03),
)

PRINTED_CLASSIFICATION = (
    Printed("ResNet18", "accuracy", 0.8652, 0.8951),
    Printed("ResNet34", "accuracy", 0.8783, 0.9019),
    Printed("DenseNet121", "accuracy", 0.9082, 0.9204),
    Printed("ShuffleNet", "accuracy", 0.7475, 0.7654),
)

PRINTED_WITHOUT_NEIGHBORS = (Printed("U-Net", "Dice", 0.7884, 0.7668),)
"""With images of fusion without the neighbors: worse than the raw data, so the neighbors carry the gain."""

METHOD, WITHOUT_NEIGHBORS = "MCF", "fusion without the neighbors"

PRINTED_FID = {
    "GAN": 1015.72,
    "VAE": 946.78,
    "CGAN": 1435.91,
    "ACGAN": 969.56,
    "Pix2Pix": 434.13,
    "CycleGAN": 468.30,
    WITHOUT_NEIGHBORS: 127.68,
    METHOD: 70.58,
}

_MEASURES = {
    "Jaccard": "slice_jaccard",
    "Dice": "slice_dice",
    "HD95": "slice_hd95",
    "ASD": "slice_asd",
    "accuracy": "accuracy",
}

_NOTE = "In brackets: 95 % interval by bootstrap over patients."


def paper_tables(
    figures: Sequence[ArmFigure], config: StudyConfig, judged: Sequence[Record] = ()
) -> list[StudyTable]:
    """Put the printed figures beside ours, in cross-validation on all training patients.

    'Raw' is the arm 'real only', 'with MCF' the first arm with generated slices, those with the same
    augmentation first, and likewise for sets of a denoiser without neighbors. A model that the study has not
    stands there with the printed figures alone.

    Args:
        figures: of the arms.
        config: the study.
        judged: figures of the judged sets, the records of `JudgedImages`.
    """
    of_study = [item for item in figures if item.group[::2] == (CROSS_VALIDATION, 1.0)]
    mcf, alone = mcf_arm(config), mcf_arm(config, neighbors=False)
    with_mcf = f"with {METHOD}"
    subjects: tuple[tuple[str, str, str, Sequence[Printed], str | None], ...] = (
        ("paper_segmentation", "Segmentation", with_mcf, PRINTED_SEGMENTATION, mcf),
        ("paper_classification", "Classification", with_mcf, PRINTED_CLASSIFICATION, mcf),
        ("paper_neighbors", "Without the neighbors", WITHOUT_NEIGHBORS, PRINTED_WITHOUT_NEIGHBORS, alone),
    )
    tables = []
    for name, title, images, printed, arm in subjects:
        records = tuple(_beside(item, of_study, (real_only(config), arm)) for item in printed)
        columns = (
            *("model", "figure", "paper: raw", f"paper: {images}", "paper: difference"),
            *(f"ours: {real_only(config)}", f"ours: {arm or 'no such arm'}", "ours: difference"),
            "ours: patients, slices",
        )
        rows = tuple(map(_row, records))
        tables.append(StudyTable(name, records, (Table(f"{title}: paper and ours", columns, rows, _NOTE),)))
    return [*tables, _fid_table(judged, config)]


def mcf_arm(config: StudyConfig, *, neighbors: bool = True) -> str | None:
    """Return the first arm with generated slices, those with the augmentation of 'real only' first.

    Args:
        config: the study.
        neighbors: whether the set's denoiser sees the neighboring slices.
    """
    plain_one = config.arms[real_only(config)].augmentation
    generated = [
        name
        for name, arm in config.arms.items()
        if kind_of(name, config) == GENERATED and _has_neighbors(arm.synthetic, config) == neighbors
    ]
    return min(generated, key=lambda name: config.arms[name].augmentation != plain_one, default=None)


def _has_neighbors(name: str | None, config: StudyConfig) -> bool:
    """Say whether the denoiser of a generated set sees the neighboring slices."""
    settings = {**config.generator.inference, **(config.sets[name].overrides if name else {})}
    return settings.get("neighbors", True) is not False


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _beside(printed: Printed, figures: Sequence[ArmFigure], arms: tuple[str, str | None]) -> Record:
    record: dict[str, Any] = {
        "model": printed.model,
        "measure": printed.measure,
        "paper_raw": printed.raw,
        "paper_generated": printed.generated,
    }
    for name, arm in zip(("ours_raw", "ours_generated"), arms, strict=True):
        found = [
            item
            for item in figures
            if item.arm == arm
            and _key(item.group.model).startswith(_key(printed.model))
            and item.measure == _MEASURES[printed.measure]
            and item.slices_of == ALL
        ]
        for part in ("value", "low", "high"):
            record[f"{name}_{part}"] = getattr(found[0], part) if found else float("nan")
        record[f"{name}_patients"] = found[0].patients if found else None
        record[f"{name}_slices"] = _slices(found[0]) if found else None
    return record


def _slices(item: ArmFigure) -> int:
    """Return the number of slices that a figure is the mean of."""
    segmented = item.measure in SEGMENTATION_MEASURES
    return item.tumor_slices + (0 if segmented else item.tumor_free_slices)


def _row(record: Record) -> tuple[Cell, ...]:
    digits = _digits(record)
    return (
        *(record["model"], record["measure"]),
        *(f"{record[key]:.{digits}f}" for key in ("paper_raw", "paper_generated")),
        f"{record['paper_generated'] - record['paper_raw']:+.{digits}f}",
        *(with_interval(*_ours(record, key), digits) for key in ("ours_raw", "ours_generated")),
        _difference(record),
        _counts(record),
    )


def _ours(record: Record, name: str) -> tuple[float, float, float]:
    return record[f"{name}_value"], record[f"{name}_low"], record[f"{name}_high"]


def _difference(record: Record) -> str:
    gap = plain(record["ours_generated_value"] - record["ours_raw_value"])
    return "-" if gap is None else f"{gap:+.{_digits(record)}f}"


def _counts(record: Record) -> str:
    """Write n of both arms, once if it is the same or there is one alone."""
    pairs = [
        (record[f"{name}_patients"], record[f"{name}_slices"]) for name in ("ours_raw", "ours_generated")
    ]
    texts = [f"{patients}, {slices:,}" for patients, slices in pairs if patients is not None]
    return " and ".join(dict.fromkeys(texts)) or "-"


def _digits(record: Record) -> int:
    """Return the decimals that the paper prints: two of distances, four of shares."""
    return 2 if MEASURES[_MEASURES[record["measure"]]].unit else 4


def _fid_table(judged: Sequence[Record], config: StudyConfig) -> StudyTable:
    """Put our FID of whole slices beside the paper's; what one of both has not is left blank."""
    ours = {
        _method(item, config): item for item in judged if (item["metric"], item["region"]) == ("fid", WHOLE)
    }
    records = tuple(
        {
            "method": method,
            "paper_fid": PRINTED_FID.get(method),
            **{f"ours_fid_{part}": ours.get(method, {}).get(part) for part in ("value", "low", "high")},
            **{name: ours.get(method, {}).get(name) for name in _FID_COUNTS},
        }
        for method in dict.fromkeys((*PRINTED_FID, *ours))
    )
    columns = ("method", "paper: FID", "ours: FID, whole slices", "ours: images, patients", "ours: reference")
    table = Table("Image quality: FID", columns, tuple(map(_fid_row, records)), _fid_note(ours.values()))
    return StudyTable("paper_fid", records, (table,))


_FID_COUNTS = ("n", "patients", "reference_n", "reference_patients")


def _method(item: Record, config: StudyConfig) -> str:
    """Return what the images of a judged set are called beside the paper's."""
    if item["of"] != SYNTHETIC:
        return f"{item['of']} (judged with {item['set']})"
    for neighbors, method in ((True, METHOD), (False, WITHOUT_NEIGHBORS)):
        arm = mcf_arm(config, neighbors=neighbors)
        if arm is not None and config.arms[arm].synthetic == item["set"]:
            return method
    return str(item["set"])


def _fid_row(record: Record) -> tuple[Cell, ...]:
    printed, value = record["paper_fid"], record["ours_fid_value"]
    return (
        record["method"],
        None if printed is None else f"{printed:.2f}",
        None if value is None else with_interval(value, record["ours_fid_low"], record["ours_fid_high"], 2),
        *(
            None if record[images] is None else f"{record[images]:,}, {record[patients]}"
            for images, patients in (_FID_COUNTS[:2], _FID_COUNTS[2:])
        ),
    )


def _fid_note(ours: Iterable[Record]) -> str:
    features = ", ".join(dict.fromkeys(item["extractor"] for item in ours))
    if not features:
        return (
            "Nothing of ours stands beside it: no set was judged. The paper does not name its extractor, so "
            "its figures compare with no other."
        )
    return (
        "The two columns cannot be compared with each other: the paper does not name its extractor, and FID "
        f"depends on it. Ours: {features}, of the first fold, with real tumors of test patients as the "
        "reference. Few images make it large, and 'The images themselves' has KID and the warnings."
    )
