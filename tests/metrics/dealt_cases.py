"""Cases dealt to processes; imports nothing of the tests, so that a spawned process can import it by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine

from mcf_bundle.metrics.handlers import CaseTableHandler, SegmentationRows
from mcf_bundle.metrics.volume_rows import VolumeRows


def cases() -> list[dict[str, Any]]:
    masks = torch.rand(5, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.8
    return [
        {"pred": pair[0], "label": pair[1], "patient": f"p{number % 2}", "slice": number}
        for number, pair in enumerate(masks)
    ]


def evaluate_cases(rank: int, folder: Path, processes: int) -> None:
    """Evaluate every n-th case; as a distributed sampler does, repeat the first to deal as many to each."""
    dealt = cases() + cases()[: -len(cases()) % processes]
    engine = Engine(lambda engine, batch: batch)
    CaseTableHandler(folder / "cases.csv", SegmentationRows()).attach(engine)
    CaseTableHandler(folder / "volumes.csv", VolumeRows()).attach(engine)
    engine.run([dealt[rank::processes]], max_epochs=1)
