"""Multi-channel fusion diffusion for medical images, as MONAI bundles."""

__version__ = "0.1.0"
