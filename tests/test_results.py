"""The tables of docs/results and the figures in metadata.json are those of the stored summaries."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.rims import line_of
from mcf_bundle.networks.checkpoint import read_checkpoint
from tests.bundles.config_files import ROOT

RESULTS = ROOT / "docs" / "results"
PAGE = (RESULTS / "networks.md").read_text()

DENOMINATORS = ("tumor slices", "all slices", "pooled per patient")
SEGMENTATION = ("dice", "jaccard", "hd95", "asd")
CLASSIFICATION = (
    *("accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "mcc", "auc"),
    "calibration_error",
)
SETS = (
    ("all slices", "classifier"),
    ("all slices", "level alone"),
    ("level-matched slices", "classifier"),
    ("level-matched slices", "level alone"),
)


def stored(task: str, split: str, *keys: str) -> dict[tuple[str, ...], dict[str, str]]:
    """Return the rows of a summary that an evaluation wrote, by the named columns."""
    with (RESULTS / f"{task}_{split}.csv").open(newline="") as file:
        return {tuple(row[key] for key in keys): row for row in csv.DictReader(file)}


def sha256(path: Path) -> str:
    """Return the hash that a card names."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def interval(row: Mapping[str, str], value: str, digits: int) -> str:
    """Write a figure with its interval."""
    figure, low, high = (f"{float(row[name]):.{digits}f}" for name in (value, "low", "high"))
    return f"{figure} ({low} to {high})"


def segmentation_lines(split: str) -> list[str]:
    """Return a split's lines of the table of the segmenter."""
    keys = ("metric", "denominator")
    rows = {**stored("segmentation", split, *keys), **stored("segmentation_volumes", split, *keys)}
    lines = []
    for denominator in DENOMINATORS:
        for metric in SEGMENTATION:
            row = rows.get((metric, denominator))
            if row is not None:
                digits = 1 if row["unit"] else 3
                figure, spread = interval(row, "mean", digits), f"{float(row['sd']):.{digits}f}"
                missed = f"{row['empty_prediction']}, {row['empty_reference']}"
                cells = (split, denominator, metric, figure, spread, row["n"], row["patients"], missed)
                lines.append("| " + " | ".join(cells) + " |")
    return lines


def classification_lines(split: str) -> list[str]:
    """Return a split's lines of the table of the classifier."""
    rows = stored("classification", split, "slices", "scores", "metric")
    lines = []
    for slices, scores in SETS:
        found = [rows[slices, scores, metric] for metric in CLASSIFICATION]
        figures = [interval(row, "value", 3) for row in found]
        counts = f"{found[0]['n']}, {found[0]['tumor']}, {found[0]['patients']}"
        lines.append("| " + " | ".join((split, slices, scores, counts, *figures)) + " |")
    return lines


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("lines", [segmentation_lines, classification_lines])
def test_the_page_s_tables_are_the_stored_summaries(lines, split: str) -> None:
    of_this = [line for line in PAGE.splitlines() if line.startswith(f"| {split} |")]
    expected = lines(split)
    assert [line for line in of_this if line in expected] == expected


def test_the_page_has_no_other_lines() -> None:
    both = [line for split in ("validation", "test") for line in PAGE.splitlines() if f"| {split} |" in line]
    expected = [*segmentation_lines("validation"), *segmentation_lines("test")]
    expected += [*classification_lines("validation"), *classification_lines("test")]
    assert sorted(both) == sorted(expected)


def card(bundle: str) -> str:
    """Return a model card as one line."""
    return " ".join((ROOT / "bundles" / bundle / "docs" / "README.md").read_text().split())


def test_the_segmenter_s_card_has_the_figures_and_the_hash() -> None:
    rows = stored("segmentation", "test", "metric", "denominator")
    text = card("tumor_segmentation")
    for denominator, unit in (("tumor slices", "slices"), ("pooled per patient", "patients")):
        row = rows["dice", denominator]
        assert f"{interval(row, 'mean', 3)} | {row['n']} {unit} |" in text
    assert sha256(ROOT / "bundles/tumor_segmentation/models/model.pt") in text


def test_the_classifier_s_card_has_the_figures_and_the_hash() -> None:
    rows = stored("classification", "test", "slices", "scores", "metric")
    text = card("tumor_classification")
    for slices in ("all slices", "level-matched slices"):
        row = rows[slices, "classifier", "auc"]
        counted = f"{row['n']} slices, {row['patients']} patients"
        assert f"| test AUC, {slices} | {interval(row, 'value', 3)} | {counted} |" in text
    assert sha256(ROOT / "bundles/tumor_classification/models/model.pt") in text


def test_the_generator_s_card_and_metadata_have_the_figures_and_the_hashes() -> None:
    text = card("mcf_diffusion")
    metadata = json.loads((ROOT / "bundles/mcf_diffusion/configs/metadata.json").read_text())
    models = ROOT / "bundles/mcf_diffusion/models"
    for path in models.iterdir():
        assert f"| `models/{path.name}` | {sha256(path)} |" in text
    denoiser, gate = (read_checkpoint(models / name).info for name in ("model.pt", "model_gate.pt"))
    figures = headline()
    assert metadata["eval_metrics"] == {
        "denoiser_validation_loss": round(denoiser["val_loss"], 4),
        "gate_validation_auc": round(gate["val_auc"], 3),
        "share_of_copies": round(float(figures["copies"]["share"]), 3),
        "texture_auc": round(float(figures["texture"]["value"]), 3),
        "label_consistency_dice": round(float(figures["labels"]["dice"]), 3),
    }
    training = (RESULTS / "training.md").read_text()
    nine = read_checkpoint(models / "model_nine_channels.pt").info
    for info, ordinal, time in ((denoiser, "third", "102 min"), (nine, "second", "53 min, then")):
        assert f"| {info['epoch']} of the {ordinal} | loss {info['val_loss']:.4f} on" in text
        assert f"| {info['val_loss']:.4f} | {time}" in training


def test_metadata_has_the_segmenter_s_figures() -> None:
    metadata = json.loads((ROOT / "bundles/tumor_segmentation/configs/metadata.json").read_text())
    rows = stored("segmentation", "test", "metric", "denominator")
    assert metadata["eval_metrics"] == {
        "test_dice_tumor_slices": round(float(rows["dice", "tumor slices"]["mean"]), 3),
        "test_dice_pooled_per_patient": round(float(rows["dice", "pooled per patient"]["mean"]), 3),
    }


def test_metadata_has_the_classifier_s_figures() -> None:
    metadata = json.loads((ROOT / "bundles/tumor_classification/configs/metadata.json").read_text())
    rows = stored("classification", "test", "slices", "scores", "metric")
    assert metadata["eval_metrics"] == {
        "test_auc_all_slices": round(float(rows["all slices", "classifier", "auc"]["value"]), 3),
        "test_auc_level_matched_slices": round(
            float(rows["level-matched slices", "classifier", "auc"]["value"]), 3
        ),
    }


IMAGES = (RESULTS / "images.md").read_text()
NAMES = ("synthetic", "composites", "unmodified hosts", "real training tumors")
QUALITY = {
    **{"kid": 3, "fid": 2, "precision": 3, "recall": 3, "density": 3, "coverage": 3, "ms_ssim": 3},
    **{"profile_horizontal": 4, "profile_vertical": 4},
}
"""Figures of likeness with their digits."""


def image_rows(table: str) -> list[dict[str, str]]:
    """Return the rows of a table that evaluate_images wrote."""
    with (RESULTS / f"images_{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def headline() -> dict[str, dict[str, str]]:
    """Return the figures that README and metadata.json give of the images."""
    labels = {row["name"]: row for row in image_rows("label_consistency")}
    (copies,) = (r for r in image_rows("memorization_summary") if r["figure"] == "tumor_correlation")
    texture = next(row for row in image_rows("texture") if row["figure"] == "auc")
    return {
        **{"copies": copies, "texture": texture, "labels": labels["synthetic"]},
        "labels of real tumors": labels[REAL],
    }


def test_the_generator_s_card_has_the_headline_figures() -> None:
    text, figures = card("mcf_diffusion"), headline()
    copies = figures["copies"]
    ends = " to ".join(f"{float(copies[f'share_{end}']):.3f}" for end in ("low", "high"))
    assert f"Of {copies['n']} images" in text
    assert f"a share of {float(copies['share']):.3f} ({ends}) counts as copies" in text
    assert f"an AUC of {interval(figures['texture'], 'value', 3)}" in text
    assert f"by a Dice of {interval(figures['labels'], 'dice', 3)}." in text


def test_readme_has_the_headline_figures() -> None:
    text, figures = " ".join((ROOT / "README.md").read_text().split()), headline()
    copies = figures["copies"]
    assert f"on {copies['n']} of them, made of LGG patients: {copies['above']} count as copies" in text
    assert f"an AUC of {interval(figures['texture'], 'value', 3).replace(')', '; 0.5 is guessing)')}" in text
    assert f"by a Dice of {interval(figures['labels'], 'dice', 3)}, on real tumors by" in text
    assert f"on real tumors by {interval(figures['labels of real tumors'], 'dice', 3)};" in text


def test_the_sentences_about_the_images_have_the_stored_figures() -> None:
    text = " ".join(IMAGES.split())
    rows = {row["figure"]: row for row in image_rows("memorization_summary")}
    for name, words in (("tumor_correlation", "tumors correlate"), ("composite_donor_correlation", "compos")):
        assert f"{rows[name]['above']} of {rows[name]['n']} {words}" in text
    assert f"by {short(rows['donor_drop']['mean'])} on average" in text
    assert rows["tumor_correlation_others"]["above"] == "0"
    aucs = {row["name"]: short(row["value"]) for row in image_rows("texture") if row["figure"] == "auc"}
    sentence = f"AUC of {aucs['synthetic']}, composites with {aucs['composites']}; real training tumors score"
    assert f"{sentence} {aucs['real training tumors']}." in text


def short(value: str | float, digits: int = 2) -> str:
    """Write a share as prose has it, without its zero.

    >>> short("0.834")
    '.83'
    """
    return f"{float(value):.{digits}f}".lstrip("0")


def test_the_denoiser_s_validation_of_the_card_is_the_measured_one() -> None:
    text = card("mcf_diffusion")
    measured = json.loads((RESULTS / "denoiser_validation.json").read_text())
    loss, mean, sd = (measured[name] for name in ("loss", "mean_over_patients", "sd_over_patients"))
    figures = f"(mean over patients {mean:.4f}, standard deviation {sd:.4f})"
    assert f"validation loss {loss:.4f} on {measured['slices']} slices of 9 patients {figures}" in text
    assert measured["checkpoint"]["sha256"] == sha256(ROOT / "bundles/mcf_diffusion/models/model.pt")
    in_float32 = measured["checkpoint"]["info"]["val_loss"]
    assert f"the loss is {loss:.6f}, and was {in_float32:.6f} in float32" in text


def test_the_classifiers_figures_of_the_card_are_the_measured_ones() -> None:
    text = card("mcf_diffusion")
    guidance, gate = (
        json.loads((RESULTS / f"{name}_auc.json").read_text()) for name in ("classifier", "gate")
    )
    aucs = " / ".join(short(value, 3) for value in guidance["auc"].values())
    steps = " / ".join(guidance["auc"])
    matched = guidance["slices"]["level-matched"]
    assert f"AUC {aucs} at t = {steps}, {matched} level-matched slices" in text
    assert f"validation AUC {short(gate['auc']['0'], 3)} without noise, {matched} level-matched" in text
    alone = guidance["level_only_auc"]
    assert f"AUC {short(alone['all slices'], 3)} on all {guidance['slices']['all']} slices" in text
    stored = read_checkpoint(ROOT / "bundles/mcf_diffusion/models/model_classifier.pt").info["val_auc"]
    for page in (text, " ".join((RESULTS / "training.md").read_text().split())):
        assert f", {short(stored, 3)}" in page


def image_lines() -> list[str]:
    """Return all lines of the tables of docs/results/images.md."""
    lines = []
    quality = {(row["region"], row["name"], row["metric"]): row for row in image_rows("quality")}
    for region in ("whole slices", "crops around the mask"):
        for name in NAMES:
            found = [quality[region, name, metric] for metric in QUALITY]
            figures = [interval(row, "value", QUALITY[row["metric"]]) for row in found]
            lines.append("| " + " | ".join((region, name, found[0]["n"], *figures)) + " |")
    for row in image_rows("texture"):
        if row["figure"] == "auc":
            cells = ("texture AUC", row["name"], interval(row, "value", 3), row["n"], row["patients"])
            lines.append("| " + " | ".join(cells) + " |")
    for row in image_rows("label_consistency"):
        cells = (row["name"], interval(row, "dice", 3), f"{float(row['sd']):.3f}", row["missed"])
        lines.append("| " + " | ".join(("Dice", *cells, row["n"], row["patients"])) + " |")
    for row in image_rows("memorization_summary"):
        mean = f"{float(row['mean']):.3f} ({float(row['mean_low']):.3f} to {float(row['mean_high']):.3f})"
        share = ""
        if row["share"]:
            low, high = float(row["share_low"]), float(row["share_high"])
            share = f"{row['above']} of {row['n']} ({100 * low:.0f} to {100 * high:.0f} %)"
        limit = f"{float(row['limit']):.3f}" if row["limit"] else ""
        lines.append("| " + " | ".join((row["topic"], f"`{row['figure']}`", mean, limit, share)) + " |")
    return lines


def test_the_page_of_the_images_has_the_stored_figures_and_no_others() -> None:
    table_lines = [line for line in IMAGES.splitlines() if line.startswith("| ") and "---" not in line]
    heads = [line for line in table_lines if line.startswith(("| Region", "| Figure", "| Topic"))]
    assert [line for line in table_lines if line not in heads] == image_lines()


LOOKS = (RESULTS / "looks.md").read_text()
REAL = "held-out real tumors"


def looks_lines() -> list[str]:
    """Return the lines of the table of docs/results/looks.md."""
    rows = {(row["name"], row["figure"]): row for row in image_rows("texture") if row["figure"] != "auc"}
    lines = []
    for figure in dict.fromkeys(figure for _, figure in rows):
        real = rows[REAL, figure]
        means = {name: float(rows[name, figure]["value"]) for name in (REAL, "synthetic", "composites")}
        cells = [interval(rows[name, figure], "value", 3) for name in means]
        cells += [
            f"{(means[name] - means[REAL]) / float(real['sd']):+.2f}" for name in ("synthetic", "composites")
        ]
        lines.append("| " + " | ".join((f"`{figure}`", *cells)) + " |")
    return lines


def test_the_page_of_looks_has_the_stored_figures_and_no_others() -> None:
    assert [line for line in LOOKS.splitlines() if line.startswith("| `")] == looks_lines()
    aucs = {row["name"]: row for row in image_rows("texture") if row["figure"] == "auc"}
    for name in ("synthetic", "composites", "real training tumors"):
        row = aucs[name]
        line = f"| {name} | {interval(row, 'value', 3)} | {row['n']} of {row['patients']} patients |"
        assert line in LOOKS.splitlines()


def test_the_page_of_looks_has_the_measured_rims() -> None:
    content = json.loads((ROOT / "benchmarks/rims.json").read_text())
    means = " | ".join(f"{value:.3f}" for value in content["real"].values())
    lines = [f"| real | | | {means} |", *map(line_of, content["rows"])]
    page = LOOKS.splitlines()
    start = page.index(lines[0])
    assert page[start : start + len(lines)] == lines
    assert f"{content['patients']} validation patients ({content['n']} slices)" in " ".join(LOOKS.split())
    assert content["rows"][0]["sha256"] == sha256(ROOT / "bundles/mcf_diffusion/models/model.pt")
