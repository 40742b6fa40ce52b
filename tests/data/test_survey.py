from __future__ import annotations

import numpy as np

from mcf_bundle.data.survey import survey_volumes
from tests.data.disc_head import flair_of, volume_of


def test_every_volume_gets_a_case_with_the_shapes_of_its_slices():
    volumes = [
        volume_of(name, flair_of(64, count=count), tumor=(9,)) for name, count in (("B", 20), ("A", 24))
    ]
    survey = survey_volumes(volumes)
    assert [case.patient for case in survey.cases] == ["B", "A"]
    for case, volume in zip(survey.cases, volumes, strict=True):
        assert case.volume is volume
        assert case.head.shape == case.brain.shape == volume.mask.shape
        assert case.level.shape == (len(volume.image),)
        assert case.level_step > 0
        assert case.missing == (False, False, False)


def test_other_patients_are_placed_on_the_training_template():
    training = survey_volumes([volume_of(name, flair_of(64, count=22)) for name in "ABC"])
    other = survey_volumes([volume_of("D", flair_of(64, count=30))], training.template)
    assert other.template is training.template
    assert training.template.patient_count == 3
    assert other.cases[0].level_is_reliable


def test_no_volumes_give_no_cases():
    assert survey_volumes([]).cases == ()


def test_a_black_volume_is_surveyed_and_not_reliable():
    case = survey_volumes([volume_of("A", np.zeros((6, 64, 64), np.uint8))]).cases[0]
    assert not case.brain.any()
    assert not case.level_is_reliable
