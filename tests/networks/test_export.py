"""Networks as TorchScript and ONNX: the same outputs at other steps, batches and sizes than those traced."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mcf_bundle.errors import ArgumentError, CheckpointError, DataError
from mcf_bundle.networks import onnx_export
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.networks.classifier import NoisyClassifier
from mcf_bundle.networks.denoiser import Denoiser
from mcf_bundle.networks.exportable import ExportableNetwork
from mcf_bundle.networks.onnx_export import compare_with_onnx, export_onnx
from mcf_bundle.networks.presets import make_classifier, make_denoiser
from mcf_bundle.networks.stored_network import load_stored_network

SMALL: dict[str, Any] = {
    "channels": (8, 16),
    "num_res_blocks": (1, 1),
    "attention_levels": (False, True),
    "num_head_channels": 8,
    "norm_num_groups": 4,
}
MAKERS = {
    "blocks of pixels": lambda: make_denoiser("smoke"),
    "stem 1 with attention": lambda: Denoiser(2, 9, 3, **SMALL),
    "residual updown": lambda: Denoiser(2, 4, 1, resblock_updown=True, **SMALL),
    "volumes": lambda: Denoiser(3, 3, 1, 2, **SMALL),
    "classifier": lambda: NoisyClassifier(2, 3, 2, 4, **SMALL),
}


def randomized(network: ExportableNetwork) -> ExportableNetwork:
    """Give every parameter random values; fresh denoisers predict exactly 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@pytest.fixture(params=MAKERS)
def network(request: pytest.FixtureRequest) -> ExportableNetwork:
    return randomized(MAKERS[request.param]())


class Branching(ExportableNetwork):
    """A network that no trace can stand for: what it computes is chosen in Python, by the step."""

    spatial_dims, in_channels, size_divisor = 2, 1, 2

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x: Tensor, timesteps: Tensor | None = None) -> Tensor:
        late = timesteps is not None and int(timesteps.max()) > 600
        return x * self.gain * (2 if late else 1) + (0 if timesteps is None else timesteps.float().mean())


def inputs(network: ExportableNetwork) -> list[tuple[Tensor, Tensor]]:
    """Images and steps, none with the batch, sides and steps that the tracer saw."""
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(len(steps), network.in_channels, *sides[: network.spatial_dims], generator=generator),
            torch.tensor(steps),
        )
        for steps in ([0], [149], [1, 999, 300])
        for sides in ([network.size_divisor] * 3, [network.size_divisor * n for n in (5, 1, 2)])
    ]


def largest_difference(scripted: torch.nn.Module, network: ExportableNetwork) -> float:
    with torch.no_grad():
        pairs = [(scripted(x, t), network(x, t)) for x, t in inputs(network)]
    return max(float((one - two).abs().max()) for one, two in pairs)


def test_torchscript_denoises_as_the_network_does(network: ExportableNetwork, tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(network), tmp_path / "model.ts")
    assert largest_difference(torch.jit.load(tmp_path / "model.ts"), network) < 1e-6


def test_the_comparison_with_torchscript_sees_a_step_that_was_frozen() -> None:
    scripted = torch.jit.script(Branching())
    x = torch.ones(1, 1, 4, 4)
    assert scripted(x, torch.tensor([4]))[0, 0, 0, 0] == 5  # the step is an input ...
    assert largest_difference(scripted, Branching()) > 0.5  # ... but the branch is frozen


def test_torchscript_takes_no_timesteps_for_zero(network: ExportableNetwork) -> None:
    x, _ = network.example_inputs()
    scripted = torch.jit.script(network)
    with torch.no_grad():
        assert torch.equal(scripted(x), scripted(x, torch.zeros(1, dtype=torch.long)))
        assert not torch.equal(scripted(x), scripted(x, torch.tensor([700])))


def test_scripting_leaves_the_network_as_it_was(network: ExportableNetwork) -> None:
    """torch.jit.script replaces submodules of what it compiles; here that is a stand-in."""
    network.train()
    keys, types = list(network.state_dict()), [type(module) for module in network.modules()]
    torch.jit.script(network)
    assert list(network.state_dict()) == keys
    assert [type(module) for module in network.modules()] == types
    assert network.training


def test_cross_attention_is_refused(tmp_path: Path) -> None:
    """Without its context the network would be another one, and the file would not say so."""
    network = Denoiser(2, 9, 3, with_conditioning=True, cross_attention_dim=16, **SMALL)
    with pytest.raises(ArgumentError, match="cross-attention"):
        torch.jit.script(network)
    assert network(torch.zeros(1, 9, 8, 8), torch.tensor([3]), torch.zeros(1, 5, 16)).shape == (1, 3, 8, 8)


def test_weights_load_from_a_checkpoint_s_whole_content(network: ExportableNetwork, tmp_path: Path) -> None:
    weights = network.state_dict()
    save_checkpoint(tmp_path / "model.pt", weights, preset="-", kind="-", patients=["p"], info={})
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    network.load_state_dict(content)
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name].half().float()), name


def test_other_dictionaries_around_weights_are_refused_as_before(network: ExportableNetwork) -> None:
    with pytest.raises(RuntimeError, match="Unexpected key"):
        network.load_state_dict({"model": network.state_dict(), "optimizer": {}})


# --- ONNX ------------------------------------------------------------------------------------------


@pytest.fixture
def _onnx() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")


@pytest.mark.usefixtures("_onnx")
def test_onnx_denoises_as_the_network_does(network: ExportableNetwork, tmp_path: Path) -> None:
    import onnxruntime

    assert export_onnx(network, tmp_path / "new" / "model.onnx") < 1e-4
    session = onnxruntime.InferenceSession(
        str(tmp_path / "new" / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    assert [item.name for item in session.get_inputs()] == ["x", "timesteps"]
    for x, timesteps in inputs(network):
        (given,) = session.run(["pred"], {"x": x.numpy(), "timesteps": timesteps.numpy()})
        with torch.no_grad():
            expected = network(x, timesteps)
        torch.testing.assert_close(torch.from_numpy(given), expected, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("_onnx")
def test_an_onnx_file_that_differs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="differs from the network"):
        export_onnx(Branching(), tmp_path / "model.onnx")


@pytest.mark.usefixtures("_onnx")
def test_the_comparison_with_onnx_sees_other_weights(tmp_path: Path) -> None:
    network = randomized(make_classifier("smoke"))
    export_onnx(network, tmp_path / "model.onnx")
    with torch.no_grad():
        network.head.bias += 0.01
    assert compare_with_onnx(network, tmp_path / "model.onnx") == pytest.approx(0.01, abs=1e-4)


def test_a_missing_package_is_an_error_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ArgumentError, match=r"mcf-bundle\[onnx\]"):
        export_onnx(make_denoiser("smoke"), tmp_path / "model.onnx")


@pytest.mark.usefixtures("_onnx")
def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        export_onnx(Branching(), tmp_path / "file" / "model.onnx")


@pytest.mark.usefixtures("_onnx")
def test_the_command_exports_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, path = randomized(make_denoiser("smoke", context_channels=12)), tmp_path / "model.pt"
    save_checkpoint(path, network.state_dict(), preset="smoke", kind="denoiser", patients=["p"], info={})
    onnx_export.main(["--ckpt_file", str(path), "--filepath", str(tmp_path / "model.onnx")])
    assert "inputs x, timesteps, largest difference" in capsys.readouterr().out
    assert compare_with_onnx(load_stored_network(path), tmp_path / "model.onnx") < 1e-4

    with pytest.raises(SystemExit) as stopped:
        onnx_export.main(["--ckpt_file", str(tmp_path / "none.pt"), "--filepath", "x.onnx"])
    assert stopped.value.code == 1
    assert "no such checkpoint" in capsys.readouterr().err


# --- A network from its checkpoint -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        ("denoiser", make_denoiser("smoke")),
        ("denoiser", make_denoiser("smoke", image_channels=1, context_channels=0)),
        ("denoiser", make_denoiser("smoke", context_channels=12, spatial_dims=3)),
        ("classifier", make_classifier("smoke")),
        ("gate", make_classifier("smoke", image_channels=1, num_classes=3)),
    ],
)
def test_a_checkpoint_tells_its_whole_architecture(
    kind: str, network: ExportableNetwork, tmp_path: Path
) -> None:
    path, network = tmp_path / "model.pt", randomized(network)
    weights = network.state_dict()
    save_checkpoint(path, weights, preset="smoke", kind=kind, patients=[], info={}, dtype=torch.float32)
    assert largest_difference(load_stored_network(path), network) == 0


@pytest.mark.parametrize(
    ("preset", "weights", "problem"),
    [
        ("huge", {}, "preset 'huge'"),
        ("smoke", {"conv.weight": torch.zeros(1)}, "lacks unet.conv_in.conv.weight"),
        ("fast", make_denoiser("smoke").state_dict(), "does not fit its preset 'fast'"),
    ],
)
def test_a_checkpoint_that_is_no_network_of_its_preset_is_refused(
    preset: str, weights: dict[str, Tensor], problem: str, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "m.pt", weights, preset=preset, kind="denoiser", patients=[], info={})
    with pytest.raises(CheckpointError, match=problem):
        load_stored_network(tmp_path / "m.pt")
