from __future__ import annotations

import numpy as np

from mcf_bundle.data.completeness import black_share, frame_contact


def test_frame_contact_is_the_longest_side_in_contact():
    head = np.zeros((10, 20), bool)
    assert frame_contact(head) == 0.0
    head[0, :5] = True
    assert frame_contact(head) == 0.25
    head[:, 0] = True
    assert frame_contact(head) == 1.0


def test_black_share_is_that_of_the_blackest_channel():
    head = np.zeros((4, 4), bool)
    head[:2] = True
    image = np.full((3, 4, 4), 9, np.uint8)
    image[2, 0, :2] = 0
    assert black_share(image, head) == 0.25
    assert black_share(image, np.zeros((4, 4), bool)) == 1.0
