"""A simulated study, gathered and reported once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcf_bundle.study.report import write_report
from tests.study.simulated import CONFIG, write_study


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a reported study; its gathered tables lie in it too."""
    folder = tmp_path_factory.mktemp("study")
    write_report(
        folder,
        **write_study(folder),
        config=CONFIG,
        provenance={"last_start": {"command_line": ["mcf-bundle", "study"]}, "runs": RECORDS},
        resamples=60,
    )
    return folder


RECORDS = [
    {"id": f"r{number}", "kind": "models", "seconds": 1800.0, "versions": {"torch": "2.12"}}
    for number in range(3)
]
