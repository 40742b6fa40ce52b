"""Properties of datalist.json, on drawn lists and on drawn content in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcf_bundle.data.datalist import (
    REAL,
    SPLITS_BY,
    SYNTHETIC,
    Datalist,
    Entry,
    read_datalist,
    split_digest,
    to_json,
)
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.errors import McfError
from tests.damage import other_files

FEW = settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def datalists(draw: st.DrawFn) -> Datalist:
    """Draw a datalist; by patient, all slices of a patient stand in one split."""
    by = draw(st.sampled_from(SPLITS_BY))
    splits = st.sampled_from([TRAIN, VALIDATION, TEST])
    entries = []
    for patient in draw(st.lists(names, max_size=4, unique=True)):
        root, split = draw(st.sampled_from([REAL, SYNTHETIC])), draw(splits)
        for number in draw(st.lists(st.integers(0, 99), max_size=3, unique=True)):
            image = f"{patient}/{patient}_{number}.tif"
            entries.append(
                Entry(
                    root=root,
                    image=image,
                    label=image.replace(".tif", "_mask.tif"),
                    patient=patient,
                    slice=number,
                    institution=draw(st.sampled_from(["", "CS"])),
                    tumor=draw(st.booleans()),
                    fold=draw(st.none() | st.integers(0, 4)),
                    split=split if by == "patient" else draw(splits),
                )
            )
    skipped = draw(st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"])), max_size=2))
    return Datalist(by, draw(st.integers(0, 2**32 - 1)), tuple(entries), skipped)


@FEW
@given(datalist=datalists())
def test_what_is_written_reads_back(tmp_path: Path, datalist: Datalist) -> None:
    path = tmp_path / "datalist.json"
    path.write_text(to_json(datalist))
    assert read_datalist(path) == datalist


@FEW
@given(datalist=datalists(), data=st.data())
def test_the_digest_of_the_split_does_not_depend_on_the_order(
    datalist: Datalist, data: st.DataObject
) -> None:
    mixed = tuple(data.draw(st.permutations(datalist.entries)))
    other = Datalist(datalist.split_by, datalist.split_seed, mixed, datalist.skipped)
    assert split_digest(other) == split_digest(datalist)


@FEW
@given(datalist=datalists(), data=st.data())
def test_a_value_changed_anywhere_is_refused(tmp_path: Path, datalist: Datalist, data: st.DataObject) -> None:
    path = tmp_path / "datalist.json"
    content = json.loads(to_json(datalist))
    part = data.draw(st.sampled_from([content, *content["entries"]]))
    key = data.draw(st.sampled_from(sorted(part)))
    value = data.draw(json_values)
    if json.dumps(value) == json.dumps(part[key]):
        return
    part[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(McfError, match=r"datalist\.json|patient"):
        read_datalist(path)


@FEW
@given(text=st.text(max_size=50) | json_values.map(json.dumps))
def test_any_text_in_its_place_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "datalist.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(McfError, match=r"datalist\.json: is not a datalist"):
        read_datalist(path)


@pytest.mark.parametrize(
    "damage", [item for item in other_files() if item.content], ids=lambda item: item.name
)
def test_any_file_in_its_place_is_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "datalist.json"
    path.write_bytes(damage.content)
    with pytest.raises(McfError, match=r"datalist\.json: is not a datalist"):
        read_datalist(path)


@FEW
@given(
    up=st.sampled_from(["../{}", "{}/../../{}", "/{}", "//{}", "..", ".", "", "a\0b"]),
    name=names,
    data=st.data(),
)
def test_a_path_out_of_the_dataset_s_folder_is_refused(
    tmp_path: Path, up: str, name: str, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(["image", "label", "patient"]))
    fields: dict[str, Any] = {"image": "A/A_1.tif", "label": "A/A_1_mask.tif", "patient": "A"}
    fields |= {place: up.replace("{}", name)}
    entry = Entry(root=REAL, slice=1, institution="CS", tumor=False, fold=0, split=TRAIN, **fields)
    path = tmp_path / "datalist.json"
    path.write_text(to_json(Datalist("patient", 0, (entry,), {})))
    with pytest.raises(McfError, match="leads out of the dataset's folder"):
        read_datalist(path)
