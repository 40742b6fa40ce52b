"""Geometry of a phantom head: how deep each pixel of a slice lies inside skull, brain, ventricles and sulci.

Two kinds of coordinates: x to the right and y to the back in units of half the head's length, zero in the
head's middle; and depths in reference pixels, those of an image of 256 x 256, whatever size is rendered.
The level of a slice runs from 0 (jaw) to 1 (vertex).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.phantom.brain import (
    cerebellum_depth,
    cerebrum_depth,
    cisterns_depth,
    deep_gray_depth,
    stem_depth,
    ventricles_depth,
)
from mcf_bundle.data.phantom.head import Head
from mcf_bundle.data.phantom.noise import fold_texture, ring_noise, smooth_noise
from mcf_bundle.data.phantom.shapes import level_window, ramp, stroke_depth

Array = NDArray[np.float32]

REFERENCE_SIZE = 256
_ANGLES = 720
_FOLD_LENGTH, _FOLD_DEPTH = 480, 40


@dataclass(frozen=True)
class Bulge:
    """A mass that pushes its surroundings aside; ``center`` and ``radius`` in head coordinates and levels."""

    center: tuple[float, float]
    level: float
    radius: float
    half_height: float
    strength: float


@dataclass(frozen=True)
class SliceGeometry:
    """One slice; every array (H, W), float32, depths in reference pixels and negative outside.

    Attributes:
        level: where the slice lies, 0 to 1.
        x, y: head coordinates.
        head: depth below the skin.
        inner: depth below the inner table of the skull.
        cerebrum, cerebellum, stem: depth inside these.
        ventricles, cisterns: depth inside the fluid.
        deep_gray: depth inside basal ganglia and thalamus.
        sulcus: distance to the middle of the nearest sulcus or fissure.
        sulcus_width: half width of the sulcus there, 0 or below where it is closed.
    """

    level: float
    x: Array
    y: Array
    head: Array
    inner: Array
    cerebrum: Array
    cerebellum: Array
    stem: Array
    ventricles: Array
    cisterns: Array
    deep_gray: Array
    sulcus: Array
    sulcus_width: Array

    @property
    def brain(self) -> Array:
        """Depth inside cerebrum, cerebellum or brain stem."""
        return np.maximum(np.maximum(self.cerebrum, self.cerebellum), self.stem)

    @property
    def lesion_room(self) -> Array:
        """Depth inside tissue that a tumor may take: the cerebrum without its large ventricles."""
        if self.level < 0.5:
            # Swelling closes the temporal horn, the only ventricle of these levels that it can reach.
            return self.cerebrum
        return np.minimum(self.cerebrum, -self.ventricles - 1)


class HeadModel:
    """A patient's geometry, slice by slice.

    Args:
        head: the patient's measures.
        levels: level of each slice, rising.
        size: rows and columns of a slice.
        rng: source of the irregularities; the same generator state gives the same head at any size.
        bulge: a mass whose surroundings give way, or none.
    """

    def __init__(
        self, head: Head, levels: Array, size: int, rng: np.random.Generator, bulge: Bulge | None = None
    ) -> None:
        self.head, self.levels, self.bulge = head, levels, bulge
        self.scale = size / REFERENCE_SIZE
        slices, cell = len(levels), 34 * self.scale
        shape = (slices, size, size)
        self._warp = [smooth_noise(rng, shape, (3, cell, cell)) for _ in range(2)]
        self._wiggle = [smooth_noise(rng, shape, (1.5, cell / 4, cell / 4)) for _ in range(2)]
        self._folds = [fold_texture(rng, slices, _FOLD_LENGTH, _FOLD_DEPTH, 13.0) for _ in range(2)]
        self._fold_depth = ring_noise(rng, slices, _FOLD_LENGTH, (1.5, 9))
        self._fold_width = smooth_noise(rng, shape, (1.5, cell / 2.4, cell / 2.4))
        self._outline = self._draw_outline(rng)
        self._padding = ring_noise(rng, slices, _ANGLES, (3, 45))
        offset = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) / np.float32(self.scale)
        dx, dy = offset[None] - np.float32(head.center[0]), offset[:, None] - np.float32(head.center[1])
        cos, sin = np.float32(np.cos(head.roll)), np.float32(np.sin(head.roll))
        self._x = (dx * cos + dy * sin) / np.float32(head.length / 2)
        self._y = (dy * cos - dx * sin) / np.float32(head.length / 2)
        azimuth = np.arctan2(self._x, -self._y)
        self._azimuth = np.where(azimuth < 0, azimuth + np.float32(2 * np.pi), azimuth)

    def _draw_outline(self, rng: np.random.Generator) -> Array:
        """Skin radius (S, angles) in head coordinates, azimuth 0 at the forehead."""
        phi = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
        forward, side = np.cos(phi), np.sin(phi)
        level = self.levels[:, None].astype(np.float64)
        top = np.clip((level - 0.46) / 0.56, 0, 1)
        length = (1 - top**2.7) ** 0.45 * (1 - 0.10 * np.clip((0.36 - level) / 0.36, 0, 1))
        width = self.head.aspect * (1 - top**2.5) ** 0.47 * (1 - 0.10 * np.clip((0.4 - level) / 0.4, 0, 1))
        face = np.clip((0.42 - level) / 0.2, 0, 1)
        width = width * (1 - (0.07 + 0.035 * face) * forward - 0.04 * np.cos(2 * phi))
        radius = ((np.abs(side) / width) ** 2.15 + (np.abs(forward) / length) ** 2.15) ** (-1 / 2.15)
        for order in (2, 3, 4, 5, 7):
            amplitude = rng.normal(0, 0.022 / order)
            radius = radius * (1 + amplitude * np.cos(order * phi + rng.uniform(0, 2 * np.pi)))
        wrapped = (phi + np.pi) % (2 * np.pi) - np.pi
        nose = np.clip(1 - np.abs(level - 0.2) / 0.2, 0, 1) ** 0.7
        radius = radius + 0.17 * nose * np.exp(-((wrapped / 0.14) ** 2))
        ear = np.clip(1 - ((level - 0.2) / 0.13) ** 2, 0, 1)
        radius = radius + 0.05 * ear * np.exp(-(((np.abs(wrapped) - 1.78) / 0.07) ** 2))
        ripple = ring_noise(rng, len(self.levels), _ANGLES, (2, 30))
        return (radius * (1 + 0.004 * ripple)).astype(np.float32)

    def slice_geometry(self, index: int) -> SliceGeometry:
        """Work out slice ``index``."""
        head, level = self.head, float(self.levels[index])
        half = np.float32(head.length / 2)
        radius = np.hypot(self._x, self._y)
        outline = self._outline[index]
        bins = self._azimuth * np.float32(_ANGLES / (2 * np.pi))
        low = bins.astype(np.intp) % _ANGLES
        part = bins - np.floor(bins)
        skin = outline[low] * (1 - part) + outline[(low + 1) % _ANGLES] * part
        slope = np.gradient(outline) / np.float32(2 * np.pi / _ANGLES)
        tilt = 1 / np.sqrt(1 + (slope / outline) ** 2)
        depth = (skin - radius) * half * tilt[low]
        # Near the vertex the slice cuts the shells at a slant, so they look thicker.
        slant = 1 + 1.3 * ramp(level, 0.78, 1.0)
        occiput = 1 + 0.35 * np.clip(-np.cos(self._azimuth), 0, 1) + 0.16 * self._padding[index][low]
        inner = depth - np.float32(slant) * (np.float32(head.scalp) * occiput + np.float32(head.skull))
        x = self._x + self._warp[0][index] * np.float32(0.013)
        y = self._y + self._warp[1][index] * np.float32(0.013)
        x, y = self._push(x, y, level)
        cerebrum = cerebrum_depth(head, x, y, inner, level) - np.float32(head.gap)
        cerebellum = cerebellum_depth(head, x, y, inner, level)
        cerebrum = np.minimum(cerebrum, -cerebellum - 0.8)
        sulcus, width = self._sulci(index, x, y, cerebrum, inner, level)
        bend_x, bend_y = (w[index] * np.float32(0.006) for w in self._wiggle)
        return SliceGeometry(
            level=level,
            x=x,
            y=y,
            head=depth,
            inner=inner,
            cerebrum=cerebrum,
            cerebellum=cerebellum,
            stem=stem_depth(head, x, y, level),
            ventricles=ventricles_depth(head, x + bend_x, y + bend_y, level),
            cisterns=cisterns_depth(head, x + bend_x, y + bend_y, level),
            deep_gray=deep_gray_depth(head, x, y, level),
            sulcus=sulcus,
            sulcus_width=width,
        )

    def _push(self, x: Array, y: Array, level: float) -> tuple[Array, Array]:
        """Coordinates of the tissue that a mass has moved to each pixel."""
        if self.bulge is None:
            return x, y
        dx, dy = x - np.float32(self.bulge.center[0]), y - np.float32(self.bulge.center[1])
        reach = np.exp(-(dx * dx + dy * dy) / np.float32(2 * (1.3 * self.bulge.radius) ** 2))
        height = np.exp(-(((level - self.bulge.level) / self.bulge.half_height) ** 2))
        share = reach * np.float32(self.bulge.strength * height)
        return x - share * dx, y - share * dy

    def _sulci(
        self, index: int, x: Array, y: Array, cerebrum: Array, inner: Array, level: float
    ) -> tuple[Array, Array]:
        """Distance to the nearest sulcus and its half width, both in reference pixels."""
        half = np.float32(self.head.length / 2)
        wiggle_x, wiggle_y = (w[index] * np.float32(1.6) for w in self._wiggle)
        along = self._azimuth * np.float32(_FOLD_LENGTH / (2 * np.pi))
        falx = np.abs(x) * half
        front, back = self._fissure_ends(level)
        gap = np.minimum(np.maximum(y - np.float32(front), 0), np.maximum(np.float32(back) - y, 0)) * half
        fissure = np.hypot(falx + wiggle_x * np.float32(0.5), gap)
        reach = np.float32(self.head.fold_depth)
        # At the base the cerebrum is several lobes; sulci enter from the convexity, not from between these.
        surface = np.maximum(cerebrum, inner - 9)
        outer = self._fold_distance(index, 0, along + wiggle_x, surface + wiggle_y, reach)
        # The two banks of the fissure take different stretches of the second texture.
        bank = np.where(x < 0, np.float32(_FOLD_LENGTH / 2), np.float32(0)) + (y + 1) * half
        medial = self._fold_distance(index, 1, bank + wiggle_y, fissure + wiggle_x, reach * np.float32(0.7))
        fading = np.clip(1.2 - 0.8 * surface / (1.6 * reach), 0.3, 1)
        fading *= np.float32(1 + 0.6 * ramp(level, 0.7, 0.92))
        width = np.float32(self.head.sulcus) * fading * (0.65 + np.float32(0.8) * self._fold_width[index])
        # Each point belongs to the nearer surface; otherwise the two patterns would cross like a net.
        outer = outer + np.clip(surface - fissure, 0, None)
        medial = medial + np.clip(fissure - surface, 0, None)
        distance = np.minimum(outer, medial)
        fissure_width = np.float32(0.7 + 0.5 * self.head.sulcus) + np.float32(0.5) * self._fold_width[index]
        main = fissure - fissure_width < distance - width
        distance, width = np.where(main, fissure, distance), np.where(main, fissure_width, width)
        sylvian = level_window(level, 0.53, 0.1)
        if sylvian > 0:
            path = [(0.75, -0.20), (0.52, -0.17), (0.44, -0.06), (0.44, 0.06), (0.50, 0.16)]
            bent_x, bent_y = np.abs(x) + wiggle_x / half, y + wiggle_y / half
            lateral = -stroke_depth(bent_x, bent_y, path, [0.0] * len(path)) * half
            typical = np.float32(sylvian * (0.8 + self.head.sulcus))
            lateral_width = typical + np.float32(0.6) * self._fold_width[index]
            distance = distance + np.float32(sylvian) * np.clip(9 - lateral, 0, None)
            main = lateral - lateral_width < distance - width
            distance, width = np.where(main, lateral, distance), np.where(main, lateral_width, width)
        return distance, width

    @staticmethod
    def _fissure_ends(level: float) -> tuple[float, float]:
        """Where the front part of the midline fissure ends and its back part starts."""
        if level >= 0.76:
            # Above the callosum the two parts are one.
            return 0.05, 0.05
        if level < 0.5:
            return -0.22, 0.42
        rise = ramp(level, 0.66, 0.76)
        return -0.40 + 0.45 * rise, 0.30 - 0.25 * rise

    def _fold_distance(self, index: int, which: int, along: Array, depth: Array, reach: np.float32) -> Array:
        texture = self._folds[which][index]
        column = np.clip(depth, 0, _FOLD_DEPTH - 1)
        value = ndimage.map_coordinates(texture, [along, column], order=1, mode="grid-wrap")
        rise_y, rise_x = np.gradient(value, 1 / self.scale)
        distance = np.abs(value) / (np.hypot(rise_x, rise_y) + np.float32(0.02))
        limit = self._fold_depth[index][along.astype(np.intp) % _FOLD_LENGTH] * np.float32(0.45) + 1
        return np.hypot(distance, np.clip(depth - limit * reach, 0, None))
