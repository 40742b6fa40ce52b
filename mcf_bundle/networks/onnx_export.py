"""ONNX files of the networks, with image and noise step as inputs.

On the command line: ``python -m mcf_bundle.networks.onnx_export --ckpt_file FILE --filepath FILE``.
MONAI's own `onnx_export` calls the network with the image alone, so that its file knows timesteps 0 only.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.networks.utils import convert_to_onnx
from monai.utils import optional_import

from mcf_bundle.atomic_file import unwritable
from mcf_bundle.commandline import exit_with
from mcf_bundle.errors import ArgumentError, CheckpointError, McfError
from mcf_bundle.networks.exportable import ExportableNetwork
from mcf_bundle.networks.stored_network import load_stored_network

INPUTS, OUTPUT = ("x", "timesteps"), "pred"
"""Names in the file: x (B, C, H, W[, D]) float32 and timesteps (B,) int64 as in the network's forward."""

TOLERANCE = 1e-4
"""Largest difference from the network that a file may have."""


def export_onnx(network: ExportableNetwork, path: Path) -> float:
    """Write a network as ONNX and compare the file with it at other sizes, batches and steps.

    Args:
        network: on the CPU, float32.
        path: the file; its folder is made.

    Returns:
        Largest absolute difference between the file, run by onnxruntime, and the network.

    Raises:
        ArgumentError: if the extra [onnx] is not installed.
        DataError: if the file cannot be written.
        CheckpointError: if file and network differ by more than `TOLERANCE`.
    """
    for package in ("onnx", "onnxruntime"):
        if not optional_import(package)[1]:
            problem = f"the package {package} is not installed"
            raise ArgumentError("ONNX export", problem, "run: pip install 'mcf-bundle[onnx]'")
    axes = {0: "batch", **{2 + axis: f"side_{axis}" for axis in range(network.spatial_dims)}}
    example = network.example_inputs()
    with torch.no_grad():
        output_axes = {axis: axes[axis] for axis in axes if axis < network(*example).ndim}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # As in `trace_network`; and the exporter that torch prefers takes ten times as long.
            for kind in (torch.jit.TracerWarning, DeprecationWarning, FutureWarning, UserWarning):
                warnings.simplefilter("ignore", kind)
            convert_to_onnx(
                network,
                example,
                input_names=INPUTS,
                output_names=(OUTPUT,),
                dynamic_axes={INPUTS[0]: axes, INPUTS[1]: {0: "batch"}, OUTPUT: output_axes},
                filename=str(path),
                dynamo=False,
            )
    except OSError as error:
        raise unwritable(path, error) from error
    difference = compare_with_onnx(network, path)
    if not difference <= TOLERANCE:
        problem = f"differs from the network by {difference:.1e}"
        raise CheckpointError(path, problem, "do not use the file; report the versions of torch and onnx")
    return difference


def compare_with_onnx(network: ExportableNetwork, path: Path) -> float:
    """Return the largest absolute difference between an ONNX file and a network, at one and three images."""
    session = optional_import("onnxruntime")[0].InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    generator = torch.Generator().manual_seed(1)
    differences = []
    for batch, steps in ((1, [0]), (3, [1, 149, 999])):
        sides = [network.size_divisor * (batch + axis) for axis in range(network.spatial_dims)]
        x = torch.randn(batch, network.in_channels, *sides, generator=generator)
        timesteps = torch.tensor(steps)
        with torch.no_grad():
            expected = network(x, timesteps)
        (given,) = session.run(None, dict(zip(INPUTS, (x.numpy(), timesteps.numpy()), strict=True)))
        differences.append((torch.from_numpy(given) - expected).abs().max())
    return float(torch.stack(differences).max())


def main(argv: Sequence[str] | None = None) -> None:
    """Export a checkpoint from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m mcf_bundle.networks.onnx_export", description="Write a checkpoint's network as ONNX."
    )
    parser.add_argument("--ckpt_file", type=Path, required=True, help="a model.pt of a bundle")
    parser.add_argument("--filepath", type=Path, required=True, help="the ONNX file to write")
    arguments = parser.parse_args(argv)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        difference = export_onnx(load_stored_network(arguments.ckpt_file), arguments.filepath)
    except McfError as error:
        exit_with(error)
    print(
        f"{arguments.filepath}: inputs {', '.join(INPUTS)}, largest difference from PyTorch {difference:.1e}"
    )


if __name__ == "__main__":
    main()
