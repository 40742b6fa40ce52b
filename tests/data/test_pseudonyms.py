from __future__ import annotations

import hashlib
import hmac
import re
import stat
from pathlib import Path

import pytest

from mcf_bundle.data.pseudonyms import (
    FULL,
    KEY_VARIABLE,
    MIN_KEY_BYTES,
    PSEUDONYMOUS,
    make_naming,
    real_names,
)
from mcf_bundle.errors import ArgumentError, DataError

PUBLIC = ["TCGA_CS_4941_19960909", "TCGA_HT_A61A_20000127"]
KEY = "a key that only this test knows"


@pytest.fixture
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder for the user's settings, and no key in the environment."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    return KEY


@pytest.mark.parametrize("generated", [[], ["SYN_CS_000001"]])
def test_public_names_are_written_as_they_are(config_home: Path, generated: list[str]) -> None:
    kind, naming = make_naming("auto", [*PUBLIC, *generated])
    assert kind == FULL
    assert [naming(patient) for patient in PUBLIC] == PUBLIC
    assert not config_home.exists()


@pytest.mark.parametrize(
    "patients",
    [
        ["Anna_Meyer_1970"],
        [*PUBLIC, "Anna_Meyer_1970"],
        ["Anna_Meyer_1970", "SYN_CS_000001"],
        ["SYN_CS_000001"],
        ["TCGA_CS_4941"],
        ["TCGA_CS_4941_19960909_Meyer"],
        ["tcga_cs_4941_19960909"],
    ],
)
def test_one_other_name_makes_all_pseudonymous(key: str, patients: list[str]) -> None:
    kind, naming = make_naming("auto", patients)
    assert kind == PSEUDONYMOUS
    assert all(re.fullmatch("P[0-9a-f]{16}", naming(patient)) for patient in patients)


def test_the_choice_is_the_users(key: str) -> None:
    assert make_naming("full", ["Anna_Meyer_1970"])[1]("Anna_Meyer_1970") == "Anna_Meyer_1970"
    kind, naming = make_naming("pseudonymous", PUBLIC)
    assert kind == PSEUDONYMOUS
    assert naming(PUBLIC[0]) != PUBLIC[0]


def test_a_pseudonym_is_the_beginning_of_a_keyed_hash(key: str) -> None:
    _, naming = make_naming("pseudonymous", PUBLIC)
    digest = hmac.new(KEY.encode(), PUBLIC[0].encode(), hashlib.sha256).hexdigest()
    assert naming(PUBLIC[0]) == "P" + digest[:16]
    assert naming(PUBLIC[0]) != naming(PUBLIC[1])
    assert hashlib.sha256(PUBLIC[0].encode()).hexdigest()[:16] not in naming(PUBLIC[0])


def test_another_key_gives_other_pseudonyms(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for value in (KEY, KEY, KEY + "!"):
        monkeypatch.setenv(KEY_VARIABLE, value)
        names.append(make_naming("pseudonymous", PUBLIC)[1](PUBLIC[0]))
    assert names[0] == names[1] != names[2]


def test_without_a_key_one_is_drawn_and_kept_for_the_user_alone(config_home: Path) -> None:
    first, again = (make_naming("pseudonymous", PUBLIC)[1](PUBLIC[0]) for _ in range(2))
    assert first == again
    (file,) = (path for path in config_home.rglob("*") if path.is_file())
    assert len(file.read_bytes()) >= MIN_KEY_BYTES
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_users_have_different_keys(config_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_naming("pseudonymous", PUBLIC)[1](PUBLIC[0])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config_home.with_name("other")))
    assert make_naming("pseudonymous", PUBLIC)[1](PUBLIC[0]) != first


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_key_that_can_be_guessed_is_refused(config_home: Path, content: bytes) -> None:
    make_naming("pseudonymous", PUBLIC)[1](PUBLIC[0])
    (file,) = (path for path in config_home.rglob("*") if path.is_file())
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"too short.*{KEY_VARIABLE}"):
        make_naming("pseudonymous", PUBLIC)[1](PUBLIC[0])


def test_a_short_key_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k" * (MIN_KEY_BYTES - 1))
    with pytest.raises(ArgumentError, match=f"{KEY_VARIABLE}: is shorter than {MIN_KEY_BYTES} bytes"):
        make_naming("pseudonymous", PUBLIC)[1](PUBLIC[0])


def test_the_key_leads_back_to_the_dataset_s_patients(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, naming = make_naming("pseudonymous", PUBLIC)
    written = [naming(PUBLIC[0]), naming("Anna_Meyer_1970"), PUBLIC[1]]
    assert real_names(written, PUBLIC) == {written[0]: PUBLIC[0]}
    monkeypatch.setenv(KEY_VARIABLE, key[::-1])
    assert real_names(written, PUBLIC) == {}


def test_looking_for_names_draws_no_key(config_home: Path) -> None:
    assert real_names(["P" + "0" * 16], PUBLIC) == {}
    assert not config_home.exists()


def test_a_key_that_cannot_be_kept_is_an_error_with_a_way_out(config_home: Path) -> None:
    config_home.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=f"cannot be kept there.*set {KEY_VARIABLE}"):
        make_naming("pseudonymous", PUBLIC)[1](PUBLIC[0])


def test_a_key_is_drawn_when_the_first_name_is_asked_for(config_home: Path) -> None:
    _, naming = make_naming("pseudonymous", PUBLIC)
    assert not config_home.exists()
    naming(PUBLIC[0])
    assert config_home.exists()


@pytest.mark.parametrize("kind", ["", "none", "Full", None])
def test_an_unknown_kind_is_refused(key: str, kind: str) -> None:
    with pytest.raises(ArgumentError, match=r"provenance: .* choose full, pseudonymous or auto"):
        make_naming(kind, PUBLIC)
