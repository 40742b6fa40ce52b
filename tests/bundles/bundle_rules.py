"""What the files of a bundle must agree on: each rule takes their content and lists the disagreements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tests.bundles.config_rules import Config, expanded

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w]|\.\d)")


def metadata_problems(metadata: Config) -> list[str]:
    """What the model zoo's checks would refuse in metadata that obey its schema."""
    found = [] if metadata["version"] in metadata["changelog"] else ["the version has no changelog entry"]
    tensors = metadata["network_data_format"]
    for kind, first in (("inputs", "image"), ("outputs", "pred")):
        if next(iter(tensors.get(kind, {})), None) != first:
            found.append(f"the first of {kind} is not {first}")
        for name, tensor in tensors.get(kind, {}).items():
            channels = [str(number) for number in range(tensor.get("num_channels", 0))]
            if list(tensor.get("channel_def", {})) != channels:
                found.append(f"channel_def of {name} does not count its channels from 0")
    return found


def network_disagreements(configs: Mapping[str, Config]) -> list[str]:
    """Networks that a bundle trains and does not use, or the other way round.

    A network is an id that ends in `_def`; two are the same if they are equal with all references replaced by
    what they refer to. The `network_def` of train.json must be the one of inference.json, which MONAI's tools
    serve.

    Args:
        configs: content by file name; train*.json make networks, inference*.json use them.
    """
    trained = dict(_networks(configs, "train"))
    used = dict(_networks(configs, "inference"))
    if not trained or not used:
        return []
    found = [f"{name} is used and not trained" for name in used if used[name] not in trained.values()]
    found += [f"{name} is trained and not used" for name in trained if trained[name] not in used.values()]
    main = trained.get("train.json: network_def"), used.get("inference.json: network_def")
    if None not in main and main[0] != main[1]:
        found.append("network_def differs between train.json and inference.json")
    return found


def served_weights(files: Sequence[Path]) -> Path | None:
    """Return the file that MONAI Label serves: the .pt or .ts of the shortest name."""
    weights = sorted(path for path in files if path.suffix in {".pt", ".ts"})
    return min(weights, key=lambda path: len(path.name), default=None)


def weight_mismatches(content: Config, network: Mapping[str, Tensor]) -> list[str]:
    """Keys and shapes of a checkpoint that are not the network's: MONAI Label would serve random weights.

    Args:
        content: what the file holds, a state_dict or one below the key `model`.
        network: the state_dict of the network that it is loaded into.
    """
    weights = content.get("model", content)
    found = [f"lacks {key}" for key in network if key not in weights]
    found += [f"{key} is unknown to the network" for key in weights if key not in network]
    return found + [
        f"{key} is {tuple(weights[key].shape)}, the network's {tuple(value.shape)}"
        for key, value in network.items()
        if key in weights and weights[key].shape != value.shape
    ]


def undocumented_metrics(metadata: Config, card: str) -> list[str]:
    """Numbers of metadata's eval_metrics that the model card does not state.

    A number is stated where a line of the card holds it and all words of its key, such as `denoiser` and
    `loss` for `denoiser_loss`.

    Args:
        metadata: metadata.json.
        card: the text of docs/README.md.
    """
    found = []
    for key, value in _metrics(metadata.get("eval_metrics", {})):
        words = [rf"\b{word}\b" for word in re.split(r"[\W_]+", key) if word]
        lines = [line for line in card.splitlines() if all(re.search(word, line, re.I) for word in words)]
        if not any(float(value) == float(number) for line in lines for number in _NUMBER.findall(line)):
            found.append(f"{key} = {value} does not stand in the model card")
    return found


def _networks(configs: Mapping[str, Config], kind: str) -> Iterator[tuple[str, Any]]:
    for name, config in configs.items():
        if re.match(rf"{kind}(?:_.*)?\.json$", name):
            for key, node in config.items():
                if key.endswith("_def") and isinstance(node, Mapping):
                    yield f"{name}: {key}", expanded(config, node)


def _metrics(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from _metrics(child, f"{path} {key}".strip())
    else:
        yield path, node
