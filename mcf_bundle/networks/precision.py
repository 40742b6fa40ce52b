"""How a network is called: in which precision and memory format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mcf_bundle.errors import ArgumentError

Network = Callable[[Tensor, Tensor], Tensor]
"""A network as the mathematics sees it: called with images and steps, gives float32."""

PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""Type that a network computes in, by the name that a config gives; None is the weights' own."""


def get_precision(name: str) -> torch.dtype | None:
    """Return the type of the precision `name`.

    Raises:
        ArgumentError: if it does not exist.
    """
    if name not in PRECISIONS:
        raise ArgumentError("precision", f"{name!r} does not exist", f"choose one of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def fast_precision(device: torch.device | str) -> str:
    """Return the precision in which a device is fast and loses little, the default of all configs.

    bfloat16 where the hardware computes in it: NVIDIA GPUs since Ampere, processors with AVX512-BF16, AMX or
    Arm's BF16. Elsewhere it is emulated and slower than float32, which is the answer there, and with a torch
    that does not tell what the processor has.

    Args:
        device: where the networks are.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    tell = getattr(torch.cpu, "get_capabilities", dict[str, Any])
    native = kind == "cpu" and any(has for name, has in tell().items() if "bf16" in name)
    return "bfloat16" if native else "float32"


def autocast_call(network: nn.Module, precision: str, *, channels_last: bool = False) -> Callable[..., Any]:
    """Wrap a network so that autocast surrounds its call alone, and its output is float32.

    An output is a tensor, or tensors by name as a network's own losses.

    Args:
        network: called as network(x, timesteps), or with x and whatever else it takes.
        precision: a key of `PRECISIONS`.
        channels_last: memory format of 2D inputs and of the network's own weights, which are laid out anew in
            place, with the same values; faster forward, slower backward on CPUs.

    Raises:
        ArgumentError: if the precision does not exist.
    """
    dtype = get_precision(precision)
    if channels_last and any(parameter.ndim == 4 for parameter in network.parameters()):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def call(x: Tensor, *arguments: Tensor) -> Any:
        if channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, dtype=dtype, enabled=dtype is not None):
            output = network(x, *arguments)
        if isinstance(output, Mapping):
            return {name: value.float() for name, value in output.items()}
        return output.float()

    return call
