"""Handlers and batch preparation that MONAI and Ignite lack."""
