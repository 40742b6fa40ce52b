"""What the paper did otherwise than a study."""

from __future__ import annotations

from collections.abc import Sequence

from mcf_bundle.generation.report_table import Table
from mcf_bundle.study.comparisons import plain_counterpart, real_only
from mcf_bundle.study.config import StudyConfig
from mcf_bundle.study.figures import ArmFigure
from mcf_bundle.study.paper_tables import mcf_arm

UNKNOWN = "not known here"

_NUMBERS = {2: "two things", 3: "three things"}


def protocol_table(config: StudyConfig, figures: Sequence[ArmFigure]) -> Table:
    """Name what the paper did otherwise."""
    patients = max((item.patients for item in figures), default=0)
    rows = (
        ("raw against MCF", "augmentation is not known here", _what_differs(config)),
        ("split", "by slice: slices of one patient train and test", "by patient, for the generator too"),
        (
            "tested on",
            "364 slices of one split",
            f"{patients} patients, each once, in {config.fold_count} folds",
        ),
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


def _what_differs(config: StudyConfig) -> str:
    """Say in what the two arms that stand for the paper's comparison differ, and which two in less."""
    name, raw = mcf_arm(config), real_only(config)
    if name is None:
        return "no arm with generated slices"
    parts = [*_other_settings(name, raw, config), "MCF's images"]
    if len(parts) == 1:
        return f"{name} and {raw} differ in MCF's images alone"
    text = f"{name} against {raw} mixes {_NUMBERS[len(parts)]}: {', '.join(parts)}"
    counterpart = plain_counterpart(name, config)
    alone = not _other_settings(name, counterpart, config)
    return f"{text}; {name} against {counterpart} differs in MCF's images alone" if alone else text


def _other_settings(name: str, other: str, config: StudyConfig) -> list[str]:
    """Name what an arm has otherwise than another one, but for its synthetic slices."""
    ours, theirs = config.arms[name], config.arms[other]
    parts = []
    if ours.augmentation != theirs.augmentation:
        parts.append(f"augmentation ({ours.augmentation} against {theirs.augmentation})")
    if ours.tumor_share != theirs.tumor_share:
        shares = " against ".join(_share(arm.tumor_share) for arm in (ours, theirs))
        parts.append(f"share of tumor slices in an epoch ({shares})")
    return parts


def _share(value: float | None) -> str:
    return "as they come" if value is None else f"{value:g}"
