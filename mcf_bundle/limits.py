"""How large a file from others may be: room for every honest one, too little to fill memory by a forgery."""

from __future__ import annotations

MAX_SIDE = 4096
"""Rows or columns of a slice, pixels; a whole head at 0.06 mm, which no scanner gives."""

MAX_SLICES = 2048
"""Slices of a patient or a volume; a whole head at 0.1 mm."""

MAX_PATIENTS = 20_000
"""Patients of a dataset; public cohorts of brain tumors have a few thousand at most."""

MAX_VOXELS = 2**29
"""Slices times rows times columns of a patient or a volume: 2,048 slices of 512 x 512."""

MAX_SLICE_BYTES = 8 * MAX_SIDE**2
"""Decoded bytes of a slice: three 16-bit channels of the largest size, or one in float64."""

MAX_EXTENSION_BYTES = 2**20
"""What stands between header and pixels of a NIfTI volume, bytes: comments, a DICOM header."""

MAX_JSON_BYTES = 2**30
"""A JSON file, bytes; a datalist of a million slices has 0.3 GB."""

MAX_LINES_BYTES = 2**32
"""A file with one JSON object a line, bytes; a plan of a million images has 3 GB."""
