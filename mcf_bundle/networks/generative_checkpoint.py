"""Weights of the package monai-generative in a `Denoiser`: other names, and a layer that it never applies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.networks.checkpoint import read_tensors
from mcf_bundle.networks.denoiser import Denoiser


def load_generative_checkpoint(network: Denoiser, path: Path, key: str | None = None) -> None:
    """Load a checkpoint of monai-generative 0.2.3's DiffusionModelUNet, or of MONAI's, into a denoiser.

    Args:
        network: of the checkpoint's architecture, with `stem` 1; it then gives the checkpoint's outputs.
        path: a file of torch.save: weights, or a dictionary that holds them.
        key: entry of that dictionary; None takes the only one that is a dictionary of tensors.

    Raises:
        ArgumentError: if the network has another stem.
        CheckpointError: if the file is damaged or cannot be read, or its weights fit neither of the two
            packages' networks. The network is unchanged then.
    """
    if network.stem != 1:
        problem = f"monai-generative knows no blocks of pixels, the network has stem {network.stem}"
        raise ArgumentError("network", problem, "make a Denoiser with stem 1, as the preset paper is")
    weights = _read_weights(path, key)
    own = network.unet.state_dict()
    converted = weights if weights.keys() == own.keys() else _convert(weights, own, path)
    for name, tensor in own.items():
        if converted[name].shape != tensor.shape:
            shapes = f"{tuple(converted[name].shape)}, the network {tuple(tensor.shape)}"
            raise CheckpointError(
                path, f"{name} is {shapes}", "build the Denoiser as the checkpoint's network"
            )
    network.unet.load_state_dict(converted)


def generative_name(name: str) -> str:
    """Return what monai-generative calls a tensor of MONAI's DiffusionModelUNet.

    >>> generative_name("middle_block.attention.attn.to_q.weight")
    'middle_block.attention.to_q.weight'
    """
    name = name.replace(".postconv.", ".conv.")
    if ".transformer_blocks." in name:
        return name.replace(".out_proj.", ".to_out.0.")
    return name.replace(".attn.out_proj.", ".proj_attn.").replace(".attn.", ".")


def _convert(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename weights of monai-generative.

    Its self-attention holds a last layer, proj_attn, and never applies it; MONAI applies the same layer, so
    that `DiffusionModelUNet.load_old_state_dict` of MONAI 1.6.1 changes the outputs. Here the identity takes
    its place.
    """
    names = {name: generative_name(name) for name in own}
    missing = sorted(set(names.values()) - weights.keys())
    unknown = sorted(name for name in weights.keys() - set(names.values()) if ".proj_attn." not in name)
    if missing or unknown:
        problem = (
            "fits neither monai-generative's nor MONAI's DiffusionModelUNet of this architecture: "
            f"{_count('lacks', missing)}, {_count('does not need', unknown)}"
        )
        raise CheckpointError(
            path, problem, "build the Denoiser with the arguments of the checkpoint's network"
        )
    return {
        name: _identity(own[name]) if ".proj_attn." in old else weights[old] for name, old in names.items()
    }


def _identity(tensor: Tensor) -> Tensor:
    """Return the weight or bias, shaped like `tensor`, of a linear layer that changes nothing."""
    return torch.eye(len(tensor)) if tensor.ndim == 2 else torch.zeros(len(tensor))


def _count(verb: str, names: list[str]) -> str:
    return f"{verb} {len(names)}" + (f" ({names[0]}, ...)" if names else "")


def _read_weights(path: Path, key: str | None) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(path, "no such checkpoint", "give the path of a file of torch.save")
    remedy = "get it again, or save the network's state_dict alone"
    content = read_tensors(path, remedy=remedy, allow_old=True)
    entries = content if isinstance(content, dict) else {}
    names = ", ".join(map(repr, entries)) or f"a {type(content).__name__}"
    if key is not None:
        found = [entries[key]] if _is_weights(entries.get(key)) else []
    else:
        found = (
            [content] if _is_weights(content) else [item for item in entries.values() if _is_weights(item)]
        )
    if len(found) != 1:
        problem = f"holds {len(found)} dictionaries of tensors" + (f" under {key!r}" if key else "")
        raise CheckpointError(path, problem, f"name the entry of the weights by key=..., it holds {names}")
    weights = dict(found[0])
    consume_prefix_in_state_dict_if_present(weights, "module.")  # networks saved from DistributedDataParallel
    return weights


def _is_weights(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(value, Tensor) for value in content.values())
    )
