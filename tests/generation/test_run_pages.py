"""Reports drawn again from the files of a finished run."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile

from mcf_bundle.data.pseudonyms import KEY_VARIABLE
from mcf_bundle.errors import DataError
from mcf_bundle.generation.finished_run import read_run
from mcf_bundle.generation.gate import GateLimits
from mcf_bundle.generation.run_pages import NO_DATASET, NO_KEY, rebuild_pages
from mcf_bundle.generation.run_report import PoolCounts, RunFacts
from mcf_bundle.generation.stored_facts import load_facts, store_facts
from tests.generation.bundle_runs import KEY, make_workflow, picky_gate

PAGES = ("report.html", "contact_sheet.png")


@pytest.fixture(scope="module", params=["full", "pseudonymous"])
def run_dir(
    request: pytest.FixtureRequest, phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a run in which the gate rejected some images; public and hidden names."""
    folder = tmp_path_factory.mktemp(request.param) / "out"
    with picky_gate(), pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        workflow = make_workflow(phantom_cohort, folder, num_images=6, provenance=request.param)
        workflow.run()
    return folder


@pytest.fixture
def copy(run_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(run_dir, tmp_path / "copy")
    return tmp_path / "copy"


def test_with_dataset_and_key_the_pages_are_the_run_s_byte_for_byte(
    run_dir: Path, copy: Path, phantom_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    for name in PAGES:
        (copy / name).unlink()
    assert any(read_run(run_dir).outcome.rejected.values())
    rebuild_pages(copy, phantom_cohort)
    for name in PAGES:
        assert (copy / name).read_bytes() == (run_dir / name).read_bytes()


def test_without_the_dataset_the_report_says_what_is_missing(copy: Path) -> None:
    assert rebuild_pages(copy).endswith(NO_DATASET)
    page = (copy / "report.html").read_text()
    assert NO_DATASET in page
    assert "<span>result</span>" in page
    assert "<span>host</span>" not in page


def test_without_its_key_a_pseudonymous_run_shows_no_host_and_says_so(
    copy: Path, phantom_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "another key, as long as the first")
    hidden = read_run(copy).plan.header["provenance"] == "pseudonymous"
    assert rebuild_pages(copy, phantom_cohort).endswith(NO_KEY) is hidden
    assert ("<span>host</span>" in (copy / "report.html").read_text()) is not hidden


def lose_a_key_of_run_json(folder: Path) -> None:
    facts = json.loads((folder / "run.json").read_text())
    del facts["gate"]
    (folder / "run.json").write_text(json.dumps(facts))


def mix_in_another_plan(folder: Path) -> None:
    path = folder / "manifest.jsonl"
    path.write_text(path.read_text().replace('"plan_id": "', '"plan_id": "0'))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "run.json").unlink(), r"run\.json: is missing.*run the generation again"),
        (lambda folder: (folder / "run.json").write_text("{"), r"run\.json: is not JSON"),
        (lose_a_key_of_run_json, r"do not hold what the report needs \(KeyError: 'gate'\)"),
        (mix_in_another_plan, r"manifest\.jsonl: belongs to another plan"),
        (lambda folder: next(folder.glob("SYN_*/*_2.tif")).write_bytes(b"II*"), r"_2\.tif: cannot be read"),
    ],
)
def test_damaged_files_are_named_and_the_report_is_left_as_it_is(
    copy: Path, damage: Callable[[Path], object], message: str
) -> None:
    before = (copy / "report.html").read_bytes()
    damage(copy)
    with pytest.raises(DataError, match=message):
        rebuild_pages(copy)
    assert (copy / "report.html").read_bytes() == before


def test_another_dataset_is_refused(
    copy: Path, phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    changed = tmp_path / "data"
    shutil.copytree(phantom_cohort, changed)
    for path in changed.glob("*/*.tif"):
        if not path.stem.endswith("_mask"):
            tifffile.imwrite(path, tifffile.imread(path)[::-1].copy())
    with pytest.raises(DataError, match="other pixels"):
        rebuild_pages(copy, changed)
    kept = sorted(path for path in changed.iterdir() if path.is_dir())[0]
    for folder in changed.iterdir():
        if folder.is_dir() and folder != kept:
            shutil.rmtree(folder)
    with pytest.raises(DataError, match=r"lacks patients of the run|other pixels"):
        rebuild_pages(copy, changed)


def test_facts_survive_strict_json() -> None:
    limits = GateLimits({"a": (-math.inf, 1.5), "b": (0.25, math.inf)}, ("a",), 0.125, math.nan, (8, 0))
    pool = PoolCounts(3, 7, {"rule": 4})
    facts = RunFacts(limits, pool, pool, ["P"], {"P": "P is bad"}, {"seed": 1}, {}, str.lower, 8)
    stored = json.loads(json.dumps(store_facts(facts), allow_nan=False))
    loaded = load_facts(stored)
    assert (loaded.limits.ranges, loaded.limits.relaxed) == (limits.ranges, ("a",))
    assert (loaded.limits.rejects_training, loaded.limits.counts) == (0.125, (8, 0))
    assert math.isnan(loaded.limits.rejects_validation)
    assert loaded.hosts == loaded.donors == pool
    assert (loaded.pinned, loaded.skipped, loaded.settings) == (["p"], {"p": "p is bad"}, {"seed": 1})
    assert loaded.batch_size == 8
