"""High-frequency SD against its closed form, and the figures of one slice against hand geometry."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import ArgumentError
from mcf_bundle.metrics.texture import (
    KINDS,
    TEXTURE_FIGURES,
    high_frequency,
    high_frequency_sd,
    texture_figures,
)
from tests.generation.discs import disc

SIZE = 256


def noise(seed: int, sd: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, sd, (SIZE, SIZE)).astype(np.float32)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
def test_white_noise_has_the_closed_form_s_sd(sigma: float) -> None:
    """Of s (delta - g) white noise has the variance s^2 (1 - 2 g(0) + sum g^2)."""
    impulse = np.zeros((65, 65))
    impulse[32, 32] = 1.0
    g = ndimage.gaussian_filter(impulse, sigma)
    expected = 0.3 * np.sqrt(1 - 2 * g[32, 32] + (g**2).sum())
    found = high_frequency_sd(noise(0, 0.3), np.ones((SIZE, SIZE), bool), sigma=sigma)
    assert found == pytest.approx(expected, rel=0.01)


def test_a_ramp_has_no_high_frequencies_away_from_the_border() -> None:
    ramp = np.broadcast_to(np.arange(SIZE, dtype=np.float32), (SIZE, SIZE))
    assert np.abs(high_frequency(ramp)[:, 16:-16]).max() < 1e-3


def painted(inside: float, outside: float, *, level: float = 2.0) -> dict[str, float]:
    """Figures of a disc of noise in noise of another SD; the disc is brighter by `level` - 1."""
    mask, brain = disc(SIZE, 128, 128, 30), disc(SIZE, 128, 128, 100)
    image = np.where(mask, level + inside * noise(1), 1.0 + outside * noise(2))
    return texture_figures(np.stack([image] * 3), mask, brain)


def test_the_ratio_is_that_of_the_noise() -> None:
    found = painted(0.02, 0.04, level=1.0)
    assert tuple(found) == TEXTURE_FIGURES
    assert [found[f"{c.name.lower()}_texture"] for c in Channel] == pytest.approx([0.5] * 3, rel=0.05)


def test_a_smoothed_tumor_is_found_out() -> None:
    mask, brain = disc(SIZE, 128, 128, 30), disc(SIZE, 128, 128, 100)
    image = 1 + 0.05 * noise(3)
    smooth = np.where(mask, ndimage.gaussian_filter(image, 1.0), image)
    before, after = (
        texture_figures(np.stack([i] * 3), mask, brain)["flair_texture"] for i in (image, smooth)
    )
    assert before == pytest.approx(1.0, rel=0.05)
    assert after < 0.3


def test_the_slope_of_an_edge_is_that_of_the_smoothed_step() -> None:
    """A step of 1, smoothed by a Gaussian of width 1, has a normal density for its gradient."""
    distances = np.arange(-2, 2) + 0.5
    expected = (np.exp(-(distances**2) / 2) / np.sqrt(2 * np.pi)).mean()
    assert painted(0.0, 1e-6)["flair_edge_slope"] == pytest.approx(expected, rel=0.1)


def test_missing_sequences_and_tiny_masks_have_no_figure() -> None:
    brain = disc(SIZE, 128, 128, 100)
    image = np.stack([1 + 0.1 * noise(k) for k in range(3)])
    missing = texture_figures(image, disc(SIZE, 128, 128, 30), brain, missing=(True, False, False))
    assert all(np.isnan(missing[f"pre_{kind}"]) and missing[f"flair_{kind}"] > 0 for kind in KINDS)
    tiny = texture_figures(image, disc(SIZE, 128, 128, 2), brain)
    assert np.isnan(tiny["flair_texture"])
    assert np.isnan(list(texture_figures(image, np.zeros_like(brain), brain).values())).all()


def test_the_document_names_every_figure() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
    body = document.split("| Figure | Definition |")[1].split("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)`", body, re.MULTILINE)) == KINDS


def test_shapes_that_do_not_fit_are_refused() -> None:
    mask = np.ones((8, 8), bool)
    with pytest.raises(ArgumentError, match="image: expected"):
        texture_figures(np.zeros((3, 8, 9)), mask, mask)
    with pytest.raises(ArgumentError, match="sigma"):
        high_frequency(np.zeros((8, 8)), sigma=0)
