"""The tables and sentences of the pages of the studies on LGG against the tables that the studies wrote."""

from __future__ import annotations

import csv

import pytest

from mcf_bundle.study.tables import CLASSIFICATION_BLOCK, FIGURE_BLOCKS, format_p, points, with_interval
from tests.bundles.config_files import ROOT

SHOWN = ("Mean over a patient's tumor slices, then patients", "Volumes of the patients", "Tumor-free slices")


class Page:
    """A page of docs/results and the tables in the folder of its name."""

    def __init__(self, name: str) -> None:
        self.folder = ROOT / "docs" / "results" / name
        page = self.folder.with_suffix(".md").read_text()
        self.lines, self.text = page.splitlines(), " ".join(page.split())

    def stored(self, table: str) -> list[dict[str, str]]:
        path = self.folder / f"{table}.csv"
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def has_line(self, *cells: str) -> bool:
        return any(line.startswith(f"| {' | '.join(cells)} |") for line in self.lines)

    def compared(self, arm: str, against: str, model: str = "unet") -> str:
        """Return a difference with its interval, as a sentence has it."""
        for row in (*self.stored("primary"), *self.stored("secondary")):
            if (row["arm"], row["against"], row["model"]) == (arm, against, model):
                return difference(row)
        raise KeyError(arm, against, model)


STUDY, MOVED, FEW = (Page(name) for name in ("study", "moved", "few"))
each = pytest.mark.parametrize("page", [STUDY, MOVED, FEW], ids=["study", "moved", "few"])


def difference(row: dict[str, str]) -> str:
    return points(row["measure"], *(float(row[name]) for name in ("difference", "low", "high")))


def figure(row: dict[str, str]) -> str:
    return with_interval(
        *(float(row[name] or "nan") for name in ("value", "low", "high")), 1 if row["unit"] else 3
    )


@each
@pytest.mark.parametrize("table", ["primary", "secondary"])
def test_every_comparison_stands_on_the_page(page: Page, table: str) -> None:
    rows = page.stored(table)
    assert rows
    for row in rows:
        adjusted = format_p(float(row["p_holm"])) if row["p_holm"] else "alone"
        cells = (row["arm"], row["against"], difference(row), format_p(float(row["p"])), adjusted)
        assert page.has_line(*cells, row["verdict"]), cells


@each
@pytest.mark.parametrize("table", ["segmentation", "classification"])
def test_every_figure_of_the_page_s_tables_is_the_stored_one(page: Page, table: str) -> None:
    names = {name for title in SHOWN for name in FIGURE_BLOCKS[title]} | set(CLASSIFICATION_BLOCK)
    rows = [
        row
        for row in page.stored(table)
        if row["measure"] in names and row["slices_of"] != "slices with a level"
    ]
    assert rows or (page is not STUDY and table == "classification")
    for row in rows:
        lines = [line for line in page.lines if line.startswith(f"| {row['arm']} |")]
        assert any(figure(row) in line for line in lines), (row["arm"], row["measure"])


@each
def test_every_arm_s_cost_is_the_stored_one(page: Page) -> None:
    for row in page.stored("costs"):
        hours = (f"{float(row[name]):.2f}" for name in ("training_h", "generator_h"))
        assert page.has_line(row["model"], row["arm"], row["runs"], *hours, row["cut_off"])


@each
def test_the_images_figures_are_the_stored_ones(page: Page) -> None:
    rows = {(row["set"], row["of"], row["region"], row["metric"]): row for row in page.stored("images")}
    assert rows
    for name, of in {(name, of) for name, of, region, _ in rows if region}:
        cells = [
            f"{float(row['value']):.3g} [{float(row['low']):.3g}, {float(row['high']):.3g}]"
            for region in ("crops around the mask", "whole slices")
            for metric in ("kid", "fid")
            for row in (rows[name, of, region, metric],)
        ]
        row_of_all = rows[name, of, "whole slices", "kid"]
        for metric in ("auc", "copies"):
            row = rows.get((name, of, "", metric))
            cells.append("-" if row is None else _texture_or_copies(row, row_of_all))
        counts = f"{row_of_all['n']} of {row_of_all['patients']}"
        assert page.has_line(of, *cells, counts), (name, of, cells, counts)


def _texture_or_copies(row: dict[str, str], of_all: dict[str, str]) -> str:
    """Write a figure with its counts where they are not those of its line."""
    ends = f" [{float(row['low']):.3g}, {float(row['high']):.3g}]" if row["low"] not in ("", "nan") else ""
    same = (row["n"], row["patients"]) == (of_all["n"], of_all["patients"])
    return f"{float(row['value']):.3g}{ends}" + ("" if same else f" ({row['n']} of {row['patients']})")


def test_the_sentences_have_the_stored_figures() -> None:
    assert f"changes Dice by {STUDY.compared('strong_mcf', 'strong')} points" in STUDY.text
    assert f"Dice {STUDY.compared('strong_mcf', 'strong_composites')} points" in STUDY.text
    assert f"accuracy {STUDY.compared('strong_mcf', 'strong_composites', 'resnet18')})" in STUDY.text
    assert f"Dice {STUDY.compared('strong_mcf', 'real_only')} points" in STUDY.text
    assert f"alone gives {STUDY.compared('strong', 'real_only')}." in STUDY.text
    assert f"accuracy {STUDY.compared('strong_mcf', 'strong', 'resnet18')} points over" in STUDY.text
    assert f"composites {STUDY.compared('strong_composites', 'strong', 'resnet18')}." in STUDY.text
    assert f"augmentation is {STUDY.compared('strong_shuffled', 'strong')} points" in STUDY.text
    shares = {
        row["arm"]: float(row["value"])
        for row in STUDY.stored("segmentation")
        if row["measure"] == "false_positive_share"
    }
    assert f"something on {shares['strong']:.3f} of the tumor-free slices" in STUDY.text
    assert f"with MCF on {shares['strong_mcf']:.3f};" in STUDY.text


def test_the_sentence_about_the_images_has_the_stored_figures() -> None:
    rows = {(row["of"], row["metric"]): row for row in STUDY.stored("images") if not row["region"]}
    texture = {of: float(rows[of, "auc"]["value"]) for of in ("synthetic", "composites")}
    copies = float(rows["synthetic", "copies"]["value"])
    assert f"copies of a training tumor is {copies:.3f}" in STUDY.text
    assert (
        f"an AUC of {texture['synthetic']:.3f}, that of composites with {texture['composites']:.3f}"
        in STUDY.text
    )


def test_the_split_by_slice_is_the_stored_one() -> None:
    titles = {
        **dict.fromkeys(("dice", "slice_dice", "volume_dice"), "Dice"),
        **{"accuracy": "accuracy", "auc": "AUC", "false_positive_share": "slices with any prediction"},
    }
    rows = STUDY.stored("split_by_slice")
    for row in rows:
        figures = [
            with_interval(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))
            for name in ("by_patient", "by_slice")
        ]
        ends = (float(row[name]) for name in ("difference", "difference_low", "difference_high"))
        gain = points("dice", *ends)  # all of them are shares
        cells = (row["model"], "strong", titles[row["measure"]], row["over"], *figures, gain)
        assert STUDY.has_line(*cells), cells
        if row["over"].startswith("a patient's"):
            assert f"{titles[row['measure']]} {gain}" in STUDY.text
    assert len(rows) == sum("; 1 seeds |" in line for line in STUDY.lines)


def test_the_design_s_smallest_difference_is_the_stored_one() -> None:
    (row,) = STUDY.stored("primary")
    assert f"could have found {100 * float(row['smallest_difference']):.1f} points" in STUDY.text
    assert (row["patients"], row["folds"], row["seeds"]) == ("60", "3", "3")


def test_the_ranking_is_the_stored_one_in_its_order() -> None:
    rows = STUDY.stored("ranking")
    lines = [line for line in STUDY.lines if line.startswith("| start_step")]
    assert len(lines) == len(rows) == 9
    for line, row in zip(lines, rows, strict=True):
        figures = [
            with_interval(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")), digits)
            for name, digits in (("consistency", 3), ("kid", 4), ("texture", 3))
        ]
        cells = [value for figure in zip(figures, _ranks(row), strict=True) for value in figure]
        assert line.startswith(f"| {row['setting']} | {' | '.join(cells)} | {float(row['mean_rank']):.2f} |")


def _ranks(row: dict[str, str]) -> list[str]:
    return [f"{float(row[f'{name}_rank']):g}" for name in ("consistency", "kid", "texture")]


def test_the_figures_beside_the_paper_are_the_stored_ones() -> None:
    for table in ("paper_segmentation", "paper_classification"):
        for row in STUDY.stored(table):
            digits = len(row["paper_raw"].split(".")[1])
            printed = [
                row["paper_raw"],
                row["paper_generated"],
                _gain(row, "paper_raw", "paper_generated", digits),
            ]
            cells = (row["model"], row["measure"], *printed)
            if not row["ours_raw_value"]:
                assert not STUDY.has_line(*cells), cells
                continue
            digits = min(digits, 4)
            ours = [
                with_interval(*(float(row[f"ours_{arm}_{end}"]) for end in ("value", "low", "high")), digits)
                for arm in ("raw", "generated")
            ]
            counts = f"{row['ours_raw_patients']}, {int(row['ours_raw_slices']):,}"
            ours.append(_gain(row, "ours_raw_value", "ours_generated_value", digits))
            assert STUDY.has_line(*cells, *ours, counts), (*cells, *ours, counts)


def _gain(row: dict[str, str], before: str, after: str, digits: int) -> str:
    return f"{float(row[after]) - float(row[before]):+.{digits}f}"


def test_the_sentences_of_the_second_page_have_the_stored_figures() -> None:
    assert f"changes Dice by {MOVED.compared('strong_mcf', 'strong_composites')} points" in MOVED.text
    assert f"strong augmentation: {MOVED.compared('strong_mcf', 'strong')} points" in MOVED.text
    assert f"the composites {MOVED.compared('strong_composites', 'strong')}." in MOVED.text
    arms = ("varied", "quarter", "no_gate")
    first, second, third = (MOVED.compared(f"strong_mcf_{arm}", "strong") for arm in arms)
    assert f"augmentation {first}, {second} and {third} points" in MOVED.text
    (primary,) = MOVED.stored("primary")
    assert f"could have found {100 * float(primary['smallest_difference']):.1f}." in MOVED.text
    marked = {
        row["arm"]: figure(row)
        for row in MOVED.stored("segmentation")
        if row["measure"] == "false_positive_share"
    }
    assert f"something on {marked['strong_mcf_varied']} of the tumor-free slices" in MOVED.text
    assert f"alone on {marked['strong']}." in MOVED.text


def test_the_second_page_s_images_have_the_stored_figures() -> None:
    rows = {
        (row["set"], row["of"], row["metric"]): float(row["value"])
        for row in MOVED.stored("images")
        if not row["region"]
    }
    texture = [rows["mcf", of, "auc"] for of in ("synthetic", "composites")]
    assert "AUC of {:.3f}, that of the composites with {:.3f}".format(*texture) in MOVED.text
    before = {row["of"]: float(row["value"]) for row in STUDY.stored("images") if row["metric"] == "auc"}
    assert f"{before['synthetic']:.3f} and {before['composites']:.3f}, on another fold" in MOVED.text
    copies = [rows[name, "synthetic", "copies"] for name in ("mcf", "mcf_varied")]
    assert "{:.3f} of them, {:.3f} with varied donors".format(*copies) in MOVED.text


def test_the_sentences_of_the_third_page_have_the_stored_figures() -> None:
    assert f"changes Dice by {FEW.compared('strong_mcf', 'strong')} points" in FEW.text
    assert f"composites it has {FEW.compared('strong_mcf', 'strong_composites')}," in FEW.text
    assert f"strong augmentation {FEW.compared('strong_composites', 'strong')}." in FEW.text
    assert f"Varied donors give {FEW.compared('strong_mcf_varied', 'strong')}." in FEW.text
    (primary,) = FEW.stored("primary")
    assert f"could have found {100 * float(primary['smallest_difference']):.1f}." in FEW.text
    both = [_segmentation(page, "strong", "dice") for page in (MOVED, FEW)]
    assert f"reaches a Dice of {both[0]:.3f}, with those of six {both[1]:.3f}." in FEW.text
    headroom = f"worth {100 * (both[0] - both[1]):+.1f} ["
    assert headroom in FEW.text
    assert f"prints {headroom.split()[1]} [" in FEW.text
    marked = [_segmentation(FEW, arm, "false_positive_share") for arm in ("strong_mcf_varied", "strong")]
    assert (
        "something on {:.3f} of the tumor-free slices, with strong augmentation alone on {:.3f}.".format(
            *marked
        )
        in FEW.text
    )
    rows = {(r["of"], r["metric"]): float(r["value"]) for r in FEW.stored("images") if not r["region"]}
    aucs = (rows["synthetic", "auc"], rows["composites", "auc"])
    assert "composites**, {:.3f} against {:.3f};".format(*aucs) in FEW.text
    assert f"{rows['synthetic', 'copies']:.3f} of the images count as copies" in FEW.text


def _segmentation(page: Page, arm: str, measure: str) -> float:
    """Return an arm's figure, the one of the means over patients."""
    found = [r for r in page.stored("segmentation") if (r["arm"], r["measure"]) == (arm, measure)]
    return float(found[0]["value"])
