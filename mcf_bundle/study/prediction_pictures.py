"""Pictures of what the trained segmenters of a study predict, from the checkpoints in its folder."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mcf_bundle.atomic_file import write_atomically
from mcf_bundle.commandline import describe
from mcf_bundle.data.lgg import dataset_root, read_volume
from mcf_bundle.data.splits import TEST
from mcf_bundle.data.triplet_dataset import SliceRef, TripletDataset
from mcf_bundle.errors import McfError
from mcf_bundle.networks.checkpoint import load_network, read_checkpoint
from mcf_bundle.networks.known_patients import refuse_known
from mcf_bundle.networks.segmentation_networks import network_of_architecture
from mcf_bundle.networks.slice_inferer import CHANNELS_OF_SLICE, SlicewiseInferer
from mcf_bundle.study.execution import BEST, TRAINING_FOLDER, Workplace
from mcf_bundle.study.predictions import Mask, choose_slices, draw_predictions
from mcf_bundle.study.runs import ModelRun, Run
from mcf_bundle.study.splits import patients_of

PICTURES_FOLDER = "pictures"
KIND = "segmenter"


@dataclass(frozen=True)
class PredictionPictures:
    """What was drawn.

    Attributes:
        files: PNG by caption.
        warnings: runs that are left out, with the reason.
    """

    files: dict[str, Path]
    warnings: tuple[str, ...]


def draw_prediction_pictures(runs: Iterable[Run], place: Workplace) -> PredictionPictures:
    """Draw what each arm's segmenter predicts on a few test slices of the first split, with the first seed.

    Results do not depend on the pictures: a run whose checkpoint cannot be used is left out and named.

    Args:
        runs: all runs of the study.
        place: where they were made.

    Returns:
        The pictures, one or more a model, in the study's folder.

    Raises:
        DataError: a picture cannot be written.
    """
    found = [run for run in runs if isinstance(run, ModelRun)]
    shown = [
        run
        for run in found
        if run.task == "segmentation" and (run.split, run.seed) == (found[0].split, found[0].seed)
    ]
    if not shown:
        return PredictionPictures({}, ())
    split = shown[0].split
    test = patients_of(place.datalists[split], TEST)
    try:
        root = dataset_root(place.dataset_dir)
        slices = choose_slices([read_volume(root / name) for name in test], place.config.split_seed)
    except McfError as error:
        return PredictionPictures({}, (f"No predictions are shown: {error}.",))
    masks: dict[str, dict[str, list[Mask]]] = {}
    warnings = []
    for run in shown:
        path = place.folder.of(run.id) / TRAINING_FOLDER / BEST
        try:
            masks.setdefault(run.model, {})[run.arm] = predict(path, slices, test)
        except (McfError, RuntimeError, OSError) as error:
            found_error = describe(error)
            reason = found_error[0] if found_error else f"{path}: {error}"
            warnings.append(f"No predictions of {run.arm}, {run.model}, are shown: {reason}.")
    files = {}
    for model, arms in masks.items():
        for number, picture in enumerate(draw_predictions(slices, arms) if arms else (), start=1):
            more = "" if number == 1 else f", part {number}"
            path = place.folder.path / PICTURES_FOLDER / f"predictions_{model}_{number}.png"
            buffer = io.BytesIO()
            picture.save(buffer, format="PNG", compress_level=6)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, buffer.getvalue())
            files[f"{model}, {split.name}, seed {shown[0].seed}{more}"] = path
    return PredictionPictures(files, tuple(warnings))


def predict(path: Path, slices: Sequence[SliceRef], test: Iterable[str]) -> list[Mask]:
    """Segment slices with a segmenter's checkpoint, in the precision that it was evaluated in.

    Args:
        path: the checkpoint.
        slices: of the test patients.
        test: names of the test patients.

    Returns:
        A mask a slice, (H, W), bool.

    Raises:
        CheckpointError: the file cannot be read or is of another kind.
        LeakageError: it knows a test patient.
    """
    checkpoint = read_checkpoint(path)
    refuse_known(test, checkpoint, where=path, split=TEST)
    network = network_of_architecture(checkpoint.preset)
    load_network(network, path, preset=checkpoint.preset, kind=KIND)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.eval().requires_grad_(False).to(device)
    input_slices = int(checkpoint.info.get("input_slices", 1))
    inferer = SlicewiseInferer(input_slices, str(checkpoint.info.get("precision", "float32")))
    samples = TripletDataset(slices)
    found = []
    for number in range(len(samples)):
        sample = samples[number]
        stacked = torch.cat([sample["image"], sample["context"]])[: CHANNELS_OF_SLICE * input_slices]
        scores = inferer(stacked[None].to(device), network)
        found.append(np.asarray(scores.argmax(1)[0].cpu().numpy() == 1))
    return found
