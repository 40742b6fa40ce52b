"""Fixtures of the tests that run bundles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mcf_bundle.data import training_data


@pytest.fixture(scope="module")
def anatomy_measured_once() -> Iterator[None]:
    """Share what is measured on the phantom cohort among the runs: it takes seconds and never differs."""
    measure = training_data.survey_volumes
    known: dict[tuple[Any, ...], Any] = {}

    def remember(volumes: list[Any], template: Any = None) -> Any:
        key = (tuple((item.patient, item.image.tobytes()) for item in volumes), template is None)
        if key not in known:
            known[key] = measure(volumes, template)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_data, "survey_volumes", remember)
        yield
