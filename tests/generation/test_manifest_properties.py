"""Properties of manifest.jsonl, on drawn runs and on drawn content in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcf_bundle.data.generated_case import read_manifest, read_origins
from mcf_bundle.errors import DataError
from mcf_bundle.generation.finished_run import read_run
from mcf_bundle.generation.output_folder import SHARDS_FOLDER
from mcf_bundle.generation.resumed import kept_records
from mcf_bundle.generation.stored_record import check_record
from tests.damage_targets import write_run

FEW = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
garbage = st.text(max_size=50) | json_values.map(json.dumps)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    write_run(folder, "full")
    return folder


@pytest.fixture(scope="module")
def lines(run_dir: Path) -> list[str]:
    return (run_dir / "manifest.jsonl").read_text().splitlines()


def put_lines(folder: Path, lines: list[str], name: str = "manifest.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
    return path


def plan_id_of(lines: list[str]) -> str:
    return json.loads(lines[0])["plan_id"]


def without_files(line: str) -> str:
    """Say nothing of the images, which are not there."""
    return json.dumps({**json.loads(line), "sha256": {}})


@FEW
@given(text=garbage)
def test_any_text_in_its_place_is_refused_by_every_reader(tmp_path: Path, run_dir: Path, text: str) -> None:
    for name in ("plan.jsonl", "run.json"):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    put_lines(tmp_path, [text])
    with pytest.raises(DataError, match=r"manifest\.jsonl: "):
        read_run(tmp_path)
    if text.strip():
        with pytest.raises(DataError, match=r"manifest\.jsonl: is not a manifest"):
            read_origins(tmp_path)
    assert kept_records(tmp_path, plan_id="") == []


@FEW
@given(noise=st.lists(garbage, max_size=4), data=st.data())
def test_lines_that_hold_are_kept_whatever_stands_between_them_and_in_whatever_order(
    tmp_path: Path, lines: list[str], noise: list[str], data: st.DataObject
) -> None:
    whole = [without_files(line) for line in lines]
    mixed = data.draw(st.permutations([*whole, *noise]))
    cut = data.draw(st.integers(0, len(mixed)))
    put_lines(tmp_path, mixed[:cut])
    put_lines(tmp_path, mixed[cut:], f"{SHARDS_FOLDER}/0.jsonl")
    assert kept_records(tmp_path, plan_id=plan_id_of(lines)) == [json.loads(line) for line in whole]


@FEW
@given(data=st.data())
def test_a_line_with_a_part_that_lacks_or_is_something_else_is_refused(
    lines: list[str], data: st.DataObject
) -> None:
    record = json.loads(lines[0])
    key = data.draw(st.sampled_from(sorted(record)))
    if data.draw(st.booleans()):
        del record[key]
    else:
        record[key] = data.draw(json_values.filter(lambda value: type(value) is not type(record[key])))
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        check_record(record)


@FEW
@given(up=st.sampled_from(["../{}", "{}/../../a", "/{}", "{}/..", "a/{}", "{}", ""]), data=st.data())
def test_a_path_out_of_its_case_s_folder_is_refused(lines: list[str], up: str, data: st.DataObject) -> None:
    record = json.loads(lines[0])
    path = up.replace("{}", record["name"])
    place = data.draw(st.sampled_from(["image", "label", "sha256", "name"]))
    if place == "name" and up == "{}":
        return
    record[place] = {path: "0" * 64} if place == "sha256" else path
    with pytest.raises(ValueError, match=r"is no file of|has the name"):
        check_record(record)


@FEW
@given(order=st.permutations(range(2)))
def test_origins_do_not_depend_on_the_order_of_the_lines(
    tmp_path: Path, lines: list[str], order: list[int]
) -> None:
    put_lines(tmp_path, [lines[index] for index in order])
    assert read_origins(tmp_path) == {"SYN_CS_000000": ("A", "B"), "SYN_CS_000001": ("A", "B")}
    assert read_manifest(tmp_path, "") == {json.loads(line)["name"]: json.loads(line) for line in lines}


def test_a_manifest_without_its_last_line_is_refused(run_dir: Path, tmp_path: Path, lines: list[str]) -> None:
    for name in ("plan.jsonl", "run.json"):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    put_lines(tmp_path, lines)
    assert len(read_run(tmp_path).records) == 2
    put_lines(tmp_path, lines[:-1])
    with pytest.raises(DataError, match=r"manifest\.jsonl: does not fit .*: 1 images, 2 planned, 0 given up"):
        read_run(tmp_path)
