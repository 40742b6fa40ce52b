"""Seeded, brain-like volumes in the LGG layout: the embedded default dataset."""

from mcf_bundle.data.phantom.cohort import Phantom, patient_name, phantom_volume, write_phantom_cohort

__all__ = ["Phantom", "patient_name", "phantom_volume", "write_phantom_cohort"]
