"""What the paper printed, beside what the study found, with the differences in protocol.

Printed figures: Zuo, Xue and Yuan, Multi channel fusion diffusion models for brain tumor MRI data
augmentation, Scientific Reports 2025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcf_bundle.generation.report_table import Table
from mcf_bundle.study.comparisons import kind_of, real_only
from mcf_bundle.study.config import GENERATED, StudyConfig
from mcf_bundle.study.figures import ArmFigure
from mcf_bundle.study.measures import MEASURES
from mcf_bundle.study.splits import CROSS_VALIDATION
from mcf_bundle.study.tables import StudyTable, plain, with_interval
from mcf_bundle.training.classification_report import ALL


class Printed(NamedTuple):
    """A figure of the paper for the raw data and with MCF's images."""

    model: str
    measure: str
    raw: float
    mcf: float


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

PRINTED_FID = {
    "GAN": 1015.72,
    "VAE": 946.78,
    "CGAN": 1435.91,
    "ACGAN": 969.56,
    "Pix2Pix": 434.13,
    "CycleGAN": 468.30,
    "fusion without the neighbors": 127.68,
    "MCF": 70.58,
}

_MEASURES = {
    "Jaccard": "slice_jaccard",
    "Dice": "slice_dice",
    "HD95": "slice_hd95",
    "ASD": "slice_asd",
    "accuracy": "accuracy",
}

UNKNOWN = "not known here"

NOT_AT_HAND = (
    "The paper's tables are named by their subject: their numbers, and figures other than these, are not at "
    "hand here."
)


def paper_tables(figures: Sequence[ArmFigure], config: StudyConfig) -> list[StudyTable]:
    """Put the printed figures beside ours, in cross-validation on all training patients.

    'Raw' is the arm 'real only', 'with MCF' the first arm with generated slices, those with the same
    augmentation first. A model that the study has not stands there with the printed figures alone.
    """
    of_study = [item for item in figures if item.group[::2] == (CROSS_VALIDATION, 1.0)]
    arms = (real_only(config), mcf_arm(config))
    names = (arms[0], arms[1] or "no arm with generated slices")
    columns = (
        *("model", "figure", "paper: raw", "paper: with MCF", "paper: difference"),
        *(f"ours: {names[0]}", f"ours: {names[1]}", "ours: difference"),
    )
    subjects = {
        "paper_segmentation": ("Segmentation", PRINTED_SEGMENTATION),
        "paper_classification": ("Classification", PRINTED_CLASSIFICATION),
    }
    tables = []
    for name, (title, printed) in subjects.items():
        records = [_beside(item, of_study, arms) for item in printed]
        rows = tuple(
            (
                *(record["model"], record["measure"]),
                *(f"{record[key]:.{_digits(record)}f}" for key in ("paper_raw", "paper_mcf")),
                f"{record['paper_mcf'] - record['paper_raw']:+.{_digits(record)}f}",
                *(with_interval(*_ours(record, key), _digits(record)) for key in ("ours_raw", "ours_mcf")),
                _difference(record),
            )
            for record in records
        )
        tables.append(
            StudyTable(name, tuple(records), (Table(f"{title}: paper and ours", columns, rows, NOT_AT_HAND),))
        )
    return [*tables, _fid_table()]


def mcf_arm(config: StudyConfig) -> str | None:
    """Return the first arm with generated slices, those with the augmentation of 'real only' first."""
    plain_one = config.arms[real_only(config)].augmentation
    generated = [name for name in config.arms if kind_of(name, config) == GENERATED]
    return min(generated, key=lambda name: config.arms[name].augmentation != plain_one, default=None)


def protocol_table(config: StudyConfig, figures: Sequence[ArmFigure]) -> Table:
    """Name what the paper did otherwise."""
    patients = max((item.patients for item in figures), default=0)
    folds = config.folds if isinstance(config.folds, int) else len(config.folds)
    rows = (
        ("split", "by slice: slices of one patient train and test", "by patient, for the generator too"),
        ("tested on", "364 slices of one split", f"{patients} patients, each once, in {folds} folds"),
        ("trainings", UNKNOWN, f"{len(config.seeds)} seeds a fold, mean"),
        ("spread", "none printed", "95 % intervals over patients, SD over seeds"),
        (
            "slices",
            "3,642 of the set's 3,929; 287 tumor-free ones are missing without a word",
            "all test slices",
        ),
        ("empty predictions", UNKNOWN, "Dice 0, distances the image's diagonal"),
        ("ASD", "sum of the two directed means", "mean over both surfaces, about half of that"),
        (
            "Hausdorff",
            "HD95 by the table's name; unit not known here",
            "95th percentile, pixels or mm as in our tables",
        ),
        ("slices of the means", UNKNOWN, "tumor slices for segmentation, all slices for accuracy"),
        ("generator's settings", "L and w are not printed", "in the study's config"),
    )
    return Table("Differences in protocol", ("what", "paper", "here"), rows, "They forbid a direct reading.")


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _beside(
    printed: Printed, figures: Sequence[ArmFigure], arms: tuple[str, str | None]
) -> Mapping[str, Any]:
    record: dict[str, Any] = {
        "model": printed.model,
        "measure": printed.measure,
        "paper_raw": printed.raw,
        "paper_mcf": printed.mcf,
    }
    for name, arm in zip(("ours_raw", "ours_mcf"), arms, strict=True):
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
    return record


def _ours(record: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    return record[f"{name}_value"], record[f"{name}_low"], record[f"{name}_high"]


def _difference(record: Mapping[str, Any]) -> str:
    gap = plain(record["ours_mcf_value"] - record["ours_raw_value"])
    return "-" if gap is None else f"{gap:+.{_digits(record)}f}"


def _digits(record: Mapping[str, Any]) -> int:
    """Return the decimals that the paper prints: two of distances, four of shares."""
    return 2 if MEASURES[_MEASURES[record["measure"]]].unit else 4


def _fid_table() -> StudyTable:
    records = tuple({"method": method, "paper_fid": value} for method, value in PRINTED_FID.items())
    note = (
        "Ours is not beside it: the paper does not name the extractor, so its figures compare with no other. "
        "Image quality is on the page of the image evaluation."
    )
    rows = tuple((method, f"{value:.2f}") for method, value in PRINTED_FID.items())
    table = Table("Image quality: the paper's FID", ("method", "FID"), rows, note)
    return StudyTable("paper_fid", records, (table,))
