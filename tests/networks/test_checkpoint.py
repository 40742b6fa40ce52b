from __future__ import annotations

import errno
import hashlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mcf_bundle import atomic_file
from mcf_bundle.errors import ArgumentError, CheckpointError, DataError
from mcf_bundle.networks.checkpoint import (
    hash_file,
    hash_patient,
    load_network,
    load_trained,
    read_checkpoint,
    save_atomically,
    save_checkpoint,
)
from mcf_bundle.networks.presets import make_denoiser

PATIENTS = ["TCGA_HT_7692", "TCGA_CS_4941"]
RECORD = {"git": {"commit": "0" * 40, "dirty": False}, "versions": {"torch": "2.12.1"}}


def save(path: Path, network: nn.Module, preset: str = "smoke", kind: str = "denoiser") -> Path:
    info = {"epoch": 3, "val_loss": 0.5}
    save_checkpoint(
        path,
        network.state_dict(),
        preset=preset,
        kind=kind,
        patients=PATIENTS,
        validation_patients=["TCGA_DU_5849"],
        info=info,
        record=RECORD,
    )
    return path


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return make_denoiser("smoke")


@pytest.fixture
def checkpoint(tmp_path: Path, network: nn.Module) -> Path:
    return save(tmp_path / "models" / "model.pt", network)


def test_weights_return_at_float16_precision(checkpoint: Path, network: nn.Module) -> None:
    torch.manual_seed(1)
    other = make_denoiser("smoke")
    load_network(other, checkpoint, preset="smoke", kind="denoiser")
    for (name, loaded), original in zip(
        other.state_dict().items(), network.state_dict().values(), strict=True
    ):
        assert loaded.dtype == original.dtype == torch.float32, name
        assert torch.equal(loaded, original.half().float()), name


def test_a_trained_network_is_frozen_and_knows_its_checkpoint(checkpoint: Path) -> None:
    device = torch.device("cpu")
    trained = load_trained(make_denoiser("smoke"), checkpoint, preset="smoke", kind="denoiser", device=device)
    assert not trained.network.training
    assert not any(parameter.requires_grad for parameter in trained.network.parameters())
    assert trained.checkpoint.sha256 == hash_file(checkpoint)


def test_an_optional_network_may_be_left_out() -> None:
    device = torch.device("cpu")
    story = {"preset": "smoke", "kind": "classifier", "device": device}
    assert load_trained(nn.Identity(), None, **story, optional=True) is None
    with pytest.raises(ArgumentError, match="--classifier_ckpt: a path is expected and none was given"):
        load_trained(nn.Identity(), None, **story)


def test_an_optional_network_that_is_given_is_loaded(checkpoint: Path) -> None:
    story = {"preset": "smoke", "kind": "denoiser", "device": torch.device("cpu")}
    trained = load_trained(make_denoiser("smoke"), checkpoint, **story, optional=True)
    assert trained.checkpoint.sha256 == hash_file(checkpoint)


def test_a_checkpoint_tells_its_story(checkpoint: Path) -> None:
    read = read_checkpoint(checkpoint)
    assert (read.preset, read.kind) == ("smoke", "denoiser")
    assert read.info == {"epoch": 3, "val_loss": 0.5}
    assert read.record == RECORD
    assert read.sha256 == hash_file(checkpoint) == hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def test_patients_are_stored_as_hashes_only(checkpoint: Path) -> None:
    assert read_checkpoint(checkpoint).patients == {hash_patient(patient) for patient in PATIENTS}
    assert hash_patient("TCGA_CS_4941") == hashlib.sha256(b"TCGA_CS_4941").hexdigest()
    assert read_checkpoint(checkpoint).validation_patients == {hash_patient("TCGA_DU_5849")}
    assert b"TCGA" not in checkpoint.read_bytes()


def test_a_checkpoint_from_before_validation_patients_and_record_were_stored_still_loads(
    checkpoint: Path,
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    del content["meta"]["validation_patients"], content["meta"]["record"]
    torch.save(content, checkpoint)
    read = load_network(make_denoiser("smoke"), checkpoint, preset="smoke", kind="denoiser")
    assert len(read.patients) == 2
    assert (read.validation_patients, read.record) == (frozenset(), {})


def test_the_file_is_the_same_whatever_the_order_of_the_patients(
    checkpoint: Path, network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PATIENTS", PATIENTS[::-1])
    assert hash_file(save(tmp_path / "again" / "model.pt", network)) == hash_file(checkpoint)


def test_integers_keep_their_type(tmp_path: Path) -> None:
    path = save(tmp_path / "model.pt", nn.BatchNorm2d(2))
    assert read_checkpoint(path).weights["num_batches_tracked"].dtype == torch.int64


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pt: no such checkpoint;"):
        read_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(checkpoint: Path, share: float) -> None:
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"model\.pt: cannot be read") as caught:
        read_checkpoint(checkpoint)
    assert "\n" not in str(caught.value)


def test_text_under_the_name_of_a_checkpoint_is_refused(checkpoint: Path) -> None:
    checkpoint.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(checkpoint)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"model": {}}])
def test_another_project_s_file_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="is not a checkpoint of this project"):
        read_checkpoint(tmp_path / "model.pt")


class Malicious:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("executed"),)


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Malicious(), "meta": {}}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path / "model.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("preset", "kind", "problem"),
    [
        (
            "paper",
            "denoiser",
            "holds a denoiser of preset 'smoke', not a denoiser of preset 'paper'; choose the settings",
        ),
        (
            "smoke",
            "gate",
            "holds a denoiser of preset 'smoke', not a gate of preset 'smoke'; give a checkpoint of a gate",
        ),
    ],
)
def test_another_preset_or_kind_is_refused(
    checkpoint: Path, network: nn.Module, preset: str, kind: str, problem: str
) -> None:
    with pytest.raises(CheckpointError, match=problem):
        load_network(network, checkpoint, preset=preset, kind=kind)


def test_another_architecture_under_the_same_name_is_refused(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.pt: does not fit the network \(.+\); use") as caught:
        load_network(make_denoiser("smoke", context_channels=0), checkpoint, preset="smoke", kind="denoiser")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_some_weights_is_refused(tmp_path: Path, network: nn.Module) -> None:
    weights = dict(list(network.state_dict().items())[1:])
    save_checkpoint(tmp_path / "m.pt", weights, preset="smoke", kind="denoiser", patients=[], info={})
    with pytest.raises(CheckpointError, match="does not fit the network"):
        load_network(network, tmp_path / "m.pt", preset="smoke", kind="denoiser")


def test_writing_leaves_no_partial_file_and_makes_the_folder(checkpoint: Path) -> None:
    assert [path.name for path in checkpoint.parent.iterdir()] == ["model.pt"]


def test_a_crash_while_writing_keeps_the_old_file(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoint.read_bytes()

    def crash(path: Path, data: bytes) -> None:
        path.write_bytes(data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic_file, "write_durably", crash)
    with pytest.raises(DataError, match=r"model\.pt: cannot be written \(No space left on device\); free"):
        save_atomically({}, checkpoint)
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == ["model.pt"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(DataError, match=r"models: cannot be written \(File exists\)"):
        save_atomically({}, tmp_path / "models" / "model.pt")
