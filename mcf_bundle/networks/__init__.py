"""Networks that MONAI and torchvision lack, and the named presets."""
