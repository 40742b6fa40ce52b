"""The order in which a phantom head is painted: skull, skull base with face, brain, vessels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.phantom.anatomy import SliceGeometry
from mcf_bundle.data.phantom.canvas import Canvas, Tissue, coverage, line_coverage
from mcf_bundle.data.phantom.head import Head
from mcf_bundle.data.phantom.shapes import ellipse_depth, level_window, ramp, stroke_depth

Array = NDArray[np.float32]


def paint_slice(canvas: Canvas, geometry: SliceGeometry, head: Head, grain: Array, scale: float) -> None:
    """Paint one slice without its tumor.

    Args:
        canvas: where to paint.
        geometry: depths of the slice.
        head: the patient's measures.
        grain: (3, H, W) smooth noise of unit variance that breaks up what is not brain.
        scale: pixels for each reference pixel.
    """
    _paint_shells(canvas, geometry, head, grain, scale)
    if geometry.level < 0.52:
        _paint_skull_base(canvas, geometry, head, grain, scale)
    _paint_brain(canvas, geometry, grain, scale)
    if geometry.level < 0.50:
        _paint_orbits(canvas, geometry, head, grain, scale)
    _paint_vessels(canvas, geometry, head, grain, scale)


def _paint_shells(canvas: Canvas, geometry: SliceGeometry, head: Head, grain: Array, scale: float) -> None:
    """Scalp with temporal muscle, skull with its marrow, and the dark gap below it."""
    level, inner = geometry.level, geometry.inner
    slant = np.float32(1 + 1.3 * ramp(level, 0.78, 1.0))
    canvas.paint(Tissue.SKIN, coverage(geometry.head, scale, 1.5))
    canvas.paint(Tissue.FAT, coverage(geometry.head - 1.0, scale, 1.5))
    canvas.channels *= 1 + np.float32(0.07) * grain[0] * (geometry.head > 1)
    galea = np.abs(geometry.head - np.float32(0.72 * head.scalp) * slant + 0.8 * grain[2])
    canvas.paint(Tissue.MUSCLE, line_coverage(galea, 0.45, scale) * np.clip(0.35 + 0.4 * grain[1], 0, 0.7))
    bone = inner + np.float32(head.skull) * slant
    side = np.abs(geometry.x) - np.float32(0.44) - np.float32(0.6) * np.maximum(geometry.y - 0.12, 0)
    temporal = coverage(bone + 3.0 * ramp(level, 0.66, 0.5), scale, 1.5) * np.clip(side * 18, 0, 1)
    temporal = temporal * np.clip((0.22 - geometry.y) * 14, 0, 1) * np.clip((geometry.y + 0.62) * 10, 0, 1)
    canvas.paint(Tissue.MUSCLE, temporal * np.float32(ramp(level, 0.70, 0.58)))
    canvas.paint(Tissue.BONE, coverage(bone + 0.4 * grain[0], scale, 1.4))
    middle = np.abs(inner + np.float32(0.55 * head.skull) * slant)
    diploe = line_coverage(middle, np.clip(slant * (0.9 + 0.7 * grain[1]), 0, 2), scale)
    canvas.paint(Tissue.MARROW, diploe * np.float32(0.8))
    canvas.paint(Tissue.CSF, coverage(inner, scale, 1.4))
    canvas.paint(Tissue.DURA, line_coverage(np.abs(inner), 0.6, scale) * np.float32(0.6))


def _paint_skull_base(
    canvas: Canvas, geometry: SliceGeometry, head: Head, grain: Array, scale: float
) -> None:
    """Bone, muscle, fat and air where low slices hold no brain."""
    level, x, y = geometry.level, geometry.x, geometry.y
    px = np.float32(head.length / 2)
    low = np.float32(ramp(level, 0.28, 0.06))
    body = geometry.head - np.float32(head.scalp)
    # The face has no closed ring of bone: soft tissue starts right below the skin.
    front = np.clip((-y - np.float32(0.30 + 0.45 * ramp(level, 0.38, 0.5))) * 9, 0, 1)
    open_ring = np.maximum(front * np.float32(ramp(level, 0.46, 0.40)), low)
    inside = coverage(body + 2 * grain[0], scale, 2.0)
    canvas.paint(Tissue.MUSCLE, inside * open_ring)
    # Fat lies in planes between the muscles, so along the zero lines of a noise, and in a few pads.
    planes = np.clip(0.9 - 3.0 * np.abs(grain[1]), 0, 1) + np.clip(1.5 * (grain[0] - 1.0), 0, 1)
    canvas.paint(Tissue.FAT, inside * open_ring * np.clip(planes, 0, 1) * np.float32(0.6))
    canvas.paint(Tissue.BONE, inside * open_ring * np.clip(1.5 * (grain[2] - 1.1), 0, 1))
    within = np.maximum(coverage(geometry.inner, scale, 2.0), inside * open_ring)
    haze = np.clip(0.35 + 0.3 * grain[1], 0, 0.8) * np.float32(ramp(level, 0.38, 0.26))
    canvas.paint(Tissue.MUSCLE, within * haze)
    # Petrous bone and sphenoid wings, with some marrow, and the clivus in the middle.
    mirrored = np.abs(x)
    petrous = stroke_depth(mirrored, y, [(0.66, 0.24), (0.40, 0.12), (0.16, -0.06)], [0.12, 0.09, 0.06]) * px
    wings = stroke_depth(mirrored, y, [(0.62, -0.34), (0.40, -0.38), (0.14, -0.30)], [0.04, 0.05, 0.06]) * px
    shown = np.float32(ramp(level, 0.10, 0.16) * ramp(level, 0.42, 0.34))
    bone = coverage(np.maximum(petrous, wings) + 2.5 * grain[1], scale, 2.5) * shown * within
    canvas.paint(Tissue.BONE, bone)
    canvas.paint(Tissue.MARROW, bone * np.clip(grain[2] - 0.5, 0, 1))
    clivus = ellipse_depth(x, y, (0, -0.12), (0.13, 0.10)) * px
    canvas.paint(Tissue.MARROW, coverage(clivus + grain[0], scale, 2.0) * shown)
    _paint_face(canvas, geometry, px, grain, scale)


def _paint_face(canvas: Canvas, geometry: SliceGeometry, px: np.float32, grain: Array, scale: float) -> None:
    """Nasal cavity, ethmoid and maxillary sinuses, jaw and airway."""
    level, x, y = geometry.level, geometry.x, geometry.y
    mirrored = np.abs(x)
    nasal = np.float32(ramp(level, 0.0, 0.06) * ramp(level, 0.44, 0.38))
    narrow = 0.13 - 0.04 * ramp(level, 0.2, 0.35)
    cavity = stroke_depth(x, y, [(0, -0.92), (0, -0.46)], [0.6 * narrow, narrow]) * px
    air = coverage(cavity + 1.5 * grain[0], scale, 1.5) * nasal
    canvas.paint(Tissue.AIR, air)
    septa = np.minimum(mirrored, np.abs(mirrored - np.float32(0.5 * narrow))) * px + np.abs(grain[1])
    cells = np.abs(np.sin((y * 22 + grain[2] * np.float32(0.5)) * np.float32(1.0))) * px / 22
    canvas.paint(Tissue.MUCOSA, air * line_coverage(np.minimum(septa, cells), 0.9, scale) * np.float32(0.8))
    sinus = level_window(level, 0.15, 0.11)
    maxilla = ellipse_depth(mirrored, y, (0.30, -0.55), (0.15 * sinus, 0.19 * sinus)) * px
    canvas.paint(Tissue.MUCOSA, coverage(maxilla + 2 + grain[1], scale, 1.5))
    canvas.paint(Tissue.AIR, coverage(maxilla + 1.5 * grain[2] - 0.5, scale, 1.5))
    jaw = level_window(level, 0.05, 0.13)
    if jaw > 0:
        ramus = [(0.50, 0.0), (0.50, -0.22)]
        canvas.paint(Tissue.BONE, coverage(stroke_depth(mirrored, y, ramus, [0.05] * 2) * px, scale, 1.5))
        canvas.paint(Tissue.MARROW, coverage(stroke_depth(mirrored, y, ramus, [0.022] * 2) * px, scale, 1.5))
        throat = ellipse_depth(x, y, (0, -0.16), (0.11 * jaw, 0.07 * jaw)) * px
        canvas.paint(Tissue.AIR, coverage(throat + grain[0], scale, 1.5))
    mastoid = level_window(level, 0.17, 0.10)
    cells_air = ellipse_depth(mirrored, y, (0.55, 0.24), (0.13 * mastoid, 0.14 * mastoid)) * px
    canvas.paint(Tissue.AIR, coverage(cells_air + 2.5 * grain[2], scale, 2.0))
    frontal = level_window(level, 0.44, 0.07)
    sinus_depth = ellipse_depth(mirrored, y, (0.07, -0.86), (0.11 * frontal, 0.06 * frontal)) * px
    canvas.paint(Tissue.AIR, coverage(sinus_depth + 1.2 * grain[0], scale, 1.5))


def _paint_orbits(canvas: Canvas, geometry: SliceGeometry, head: Head, grain: Array, scale: float) -> None:
    """Eyes in their fat, with optic nerve and muscles."""
    level = geometry.level
    px = np.float32(head.length / 2)
    wide = head.aspect / 0.8
    mirrored, y = np.abs(geometry.x), geometry.y
    cone_size = level_window(level, 0.36, 0.105)
    if cone_size <= 0:
        return
    cone = stroke_depth(
        mirrored, y, [(0.34 * wide, -0.70), (0.28 * wide, -0.56), (0.19 * wide, -0.38)],
        [0.17 * cone_size, 0.13 * cone_size, 0.03 * cone_size],
    ) * px  # fmt: skip
    cone = np.minimum(cone, geometry.head - 2.0)
    canvas.paint(Tissue.BONE, coverage(cone + 3.0, scale, 2.0))
    canvas.paint(Tissue.FAT, coverage(cone + 0.4 * grain[0], scale, 1.6))
    muscle_size = level_window(level, 0.36, 0.07)
    if muscle_size > 0:
        nerve = [(0.31 * wide, -0.62), (0.19 * wide, -0.38)]
        lateral = [(0.44 * wide, -0.64), (0.36 * wide, -0.50), (0.20 * wide, -0.38)]
        medial = [(0.19 * wide, -0.66), (0.185 * wide, -0.5), (0.18 * wide, -0.38)]
        for path, radius in ((nerve, 0.022), (lateral, 0.02), (medial, 0.02)):
            strand = stroke_depth(mirrored, y, path, [radius * muscle_size] * len(path)) * px
            canvas.paint(Tissue.MUSCLE, coverage(np.minimum(strand, cone), scale, 1.4))
    globe_size = level_window(level, 0.35, 0.08)
    globe = ellipse_depth(mirrored, y, (0.34 * wide, -0.76), (0.135 * globe_size, 0.135 * globe_size)) * px
    globe = np.minimum(globe, geometry.head - 1.5)
    canvas.paint(Tissue.MUSCLE, coverage(globe, scale, 1.4))
    canvas.paint(Tissue.VITREOUS, coverage(globe - 1.6, scale, 1.4))
    lens = ellipse_depth(mirrored, y, (0.34 * wide, -0.85), (0.05 * globe_size, 0.022 * globe_size)) * px
    canvas.paint(Tissue.MUSCLE, coverage(lens, scale, 1.4))


def _paint_brain(canvas: Canvas, geometry: SliceGeometry, grain: Array, scale: float) -> None:
    """White matter, cortex along surface and sulci, deep gray, cerebellum, stem and fluid."""
    cerebrum = coverage(geometry.cerebrum, scale, 1.4)
    canvas.paint(Tissue.WHITE, cerebrum)
    ribbon = np.minimum(geometry.cerebrum, geometry.sulcus - np.maximum(geometry.sulcus_width, 0))
    cortex = coverage(np.float32(4.2) + 0.6 * grain[0] - ribbon, scale, 2.2)
    canvas.paint(Tissue.GRAY, cortex * cerebrum)
    canvas.paint(Tissue.DEEP_GRAY, coverage(geometry.deep_gray, scale, 5.0) * cerebrum)
    fluid = line_coverage(geometry.sulcus, geometry.sulcus_width, scale) * cerebrum
    canvas.paint(Tissue.CSF, fluid * np.float32(0.85))
    cerebellum = coverage(geometry.cerebellum, scale, 1.4)
    # Below the tentorium fluid surrounds it; higher up only that thin sheet parts it from the cerebrum.
    sheath = np.float32(1 - 0.55 * ramp(geometry.level, 0.36, 0.42))
    canvas.paint(Tissue.CSF, coverage(geometry.cerebellum + 1.2, scale, 1.6) * sheath)
    canvas.paint(Tissue.CEREBELLUM, cerebellum)
    canvas.paint(Tissue.WHITE, coverage(geometry.cerebellum - 13 + 2 * grain[2], scale, 9.0) * cerebellum)
    # Folia run along the surface but are broken up, and lie across in the middle.
    across = np.clip(1.3 - np.abs(geometry.x) * 9, 0, 1)
    phase = (geometry.cerebellum * (1 - across) + geometry.y * 105 * across) * np.float32(0.72) + 1.1 * grain[
        1
    ]
    folia = np.abs(np.sin(phase)) * np.float32(1.35)
    fade = np.clip(1.15 - geometry.cerebellum / 26, 0.1, 1) * np.clip(0.5 + 0.6 * grain[0], 0, 1)
    canvas.paint(Tissue.CSF, line_coverage(folia, 0.5, scale) * cerebellum * fade * np.float32(0.55))
    around = coverage(geometry.stem + np.float32(3.0), scale, 2.0) * (1 - cerebellum) * (1 - cerebrum)
    canvas.paint(Tissue.CSF, around)
    canvas.paint(Tissue.WHITE, coverage(geometry.stem, scale, 1.6))
    brain = coverage(geometry.brain + 2.0, scale, 2.0)
    canvas.paint(Tissue.CSF, coverage(geometry.cisterns + 0.7 * grain[2], scale, 2.6) * brain)
    canvas.paint(Tissue.CSF, coverage(geometry.ventricles, scale, 2.4) * brain)
    canvas.channels *= 1 + np.float32(0.022) * grain[::-1] * brain
    # Fluid leaks into the lining of the ventricles: a thin bright seam in FLAIR.
    canvas.channels[1] += 0.14 * np.exp(-np.abs(geometry.ventricles + 2.5) / 2.0) * brain


def _paint_vessels(canvas: Canvas, geometry: SliceGeometry, head: Head, grain: Array, scale: float) -> None:
    """Sagittal sinus, falx and vessels in sulci; bright after contrast only."""
    level, x, inner = geometry.level, geometry.x, geometry.inner
    px = np.float32(head.length / 2)
    width = np.abs(x) * px
    behind = (geometry.y > 0) & (level > 0.3)
    before = (geometry.y < 0) & (level > 0.62)
    ridge = np.where(behind, np.float32(3.6), np.float32(2.0)) * np.clip(1 - inner / 9, 0, 1) - width
    sinus = coverage(np.minimum(ridge, inner + 1.0), scale, 1.6) * (behind | before)
    canvas.paint(Tissue.VESSEL, sinus)
    if level > 0.4:
        inside = coverage(geometry.cerebrum, scale)
        spots = np.clip(2.0 * (grain[0] * grain[2] - 0.35), 0, 1)
        strands = line_coverage(geometry.sulcus, 0.8, scale) * spots * inside * np.float32(0.55)
        canvas.channels[2] += strands * (canvas.channels[2].max() * 0.55 - canvas.channels[2])
