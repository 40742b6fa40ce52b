"""Predicted probabilities of slices: from logits to what MONAI Label shows, and to files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.volume import Label

TABLE_FILE, LABEL_FILE = "predictions.csv", "predictions.json"

LABEL_NAMES = {Label.HEALTHY: "no tumor", Label.TUMOR: "tumor"}
"""Names of the classes; 'no tumor' means no mask in the slice."""

SLICES_POSTFIX = "_slices"


class SliceProbabilitiesd(MapTransform):
    """Turn logits into probabilities, and a volume's into those of its most suspicious slice.

    Args:
        keys: logits (2,) of a slice or (2, D) of a volume.

    The key itself becomes a `MetaTensor` (2,), float32, which is what MONAI Label writes; `<key>_slices`
    holds the probability of tumor of every slice, (1,) or (D,), from the lowest.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with probabilities."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            logits: Tensor = torch.as_tensor(changed[key]).as_subclass(Tensor).float().cpu()
            probabilities = logits.reshape(len(LABEL_NAMES), -1).softmax(0)
            tumor = probabilities[Label.TUMOR]
            changed[key] = MetaTensor(probabilities[:, int(tumor.argmax())])
            changed[f"{key}{SLICES_POSTFIX}"] = tumor
        return changed


class PredictionFiles:
    """Write the probability of every slice to `TABLE_FILE`, and a label for each image to `LABEL_FILE`.

    Args:
        folder: where the files go.
        root: folder of the images, to which their names are relative.
        key: probabilities in the output, see `SliceProbabilitiesd`.
    """

    def __init__(self, folder: str | Path, root: str | Path, key: str = "pred") -> None:
        self.folder, self.root, self.key = as_path(folder, "output_dir"), as_path(root, "dataset_dir"), key
        self.rows: list[dict[str, Any]] = []
        self.labels: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the files."""
        text = io.StringIO()
        writer = csv.DictWriter(text, ["image", "slice", "probability"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.folder / TABLE_FILE, text.getvalue())
        write_text(self.folder / LABEL_FILE, json.dumps({"images": self.labels}, indent=1) + "\n")

    def _start(self, engine: Engine) -> None:
        self.rows, self.labels = [], []

    def _collect(self, engine: Engine) -> None:
        output: Any = engine.state.output
        for item in output:
            name = self._name(item["image"].meta["filename_or_obj"])
            tumor = item[f"{self.key}{SLICES_POSTFIX}"].tolist()
            # Slices count from 1, from the lowest; a picture is its own slice 1.
            self.rows += [
                {"image": name, "slice": number, "probability": probability}
                for number, probability in enumerate(tumor, 1)
            ]
            scores = [
                {"idx": int(label), "label": text, "score": float(item[self.key][label])}
                for label, text in LABEL_NAMES.items()
            ]
            best = max(range(len(tumor)), key=tumor.__getitem__)
            self.labels.append({"image": name, "slices": len(tumor), "slice": best + 1, "prediction": scores})

    def _name(self, path: str) -> str:
        file = Path(str(path))
        return file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else file.name
