"""The denoiser's training bundle as MONAI's federated client: two hospitals, averaged by hand."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from ignite.engine import Events
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, ModelType
from monai.fl.utils.exchange_object import ExchangeObject
from monai.utils import set_determinism
from torch import Tensor

from mcf_bundle.__main__ import main
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint
from mcf_bundle.resources import bundle_root, config_path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "federated.md"
BUNDLE = bundle_root("mcf_diffusion")
FILES = ["configs/train.json", str(config_path("presets/smoke"))]
HALF_PRECISION = {"rtol": 1e-3, "atol": 1e-6}
"""Checkpoints for use store float16."""

Weights = dict[str, Tensor]
MakeClient = Callable[..., MonaiAlgo]


@pytest.fixture(scope="module")
def hospitals(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two cohorts without a common patient, `north` and `south`, six phantoms each."""
    root = tmp_path_factory.mktemp("hospitals")
    for number, source in enumerate(sorted(path for path in phantom_cohort.iterdir() if path.is_dir())):
        hospital = ("north", "south")[number % 2]
        patient = f"{hospital}_{number:03d}"
        (root / hospital / patient).mkdir(parents=True)
        for path in source.iterdir():
            shutil.copy(path, root / hospital / patient / path.name.replace(source.name, patient))
    return root


@pytest.fixture(autouse=True)
def _global_settings_are_left_alone() -> Iterator[None]:
    """Undo `set_determinism` of the bundle."""
    yield
    set_determinism(None)


@pytest.fixture
def make_client(hospitals: Path, tmp_path: Path) -> MakeClient:
    """Build the client of a hospital as the document does; `data` borrows another hospital's."""

    def make(hospital: str, *, data: str | None = None, folder: str = "", **overrides: Any) -> MonaiAlgo:
        shared = {"dataset_dir": str(hospitals / (data or hospital)), "device": torch.device("cpu")}
        runs = tmp_path / folder / hospital
        client = MonaiAlgo(
            str(BUNDLE),
            send_weight_diff=False,
            config_train_filename=FILES,
            config_evaluate_filename=FILES,
            train_kwargs={**shared, "ckpt_dir": str(runs / "local"), "resume": False} | overrides,
            eval_kwargs={**shared, "ckpt_dir": str(runs / "federated")},
            final_model_filepath=str(runs / "local" / "model_last.pt"),
        )
        client.initialize({ExtraItems.CLIENT_NAME: hospital})
        return client

    return make


def copied(weights: Weights) -> Weights:
    """Copy weights: those of a client in this process are the network's own memory."""
    return {name: value.clone() for name, value in weights.items()}


def network_of(client: MonaiAlgo) -> Weights:
    return copied(client.get_weights().weights)


def average_of(client: MonaiAlgo) -> Weights:
    """Return the averages over the steps of a client's own training."""
    assert client.train_workflow is not None
    return copied(client.train_workflow.parser.get_parsed_content("ema").average.state_dict())


def mean_of(*updates: Weights) -> Weights:
    """Average in float64 with NumPy."""
    stacks = {name: np.stack([update[name].double().numpy() for update in updates]) for name in updates[0]}
    return {name: torch.from_numpy(stack.mean(0)).float() for name, stack in stacks.items()}


def record(client: MonaiAlgo, event: Events) -> list[Weights]:
    """Collect the weights of a client's network at each event of its training."""
    seen: list[Weights] = []
    assert client.trainer is not None
    client.trainer.add_event_handler(event, lambda engine: seen.append(copied(engine.network.state_dict())))
    return seen


def train(client: MonaiAlgo, weights: Weights) -> Weights:
    client.train(ExchangeObject(weights=copied(weights)))
    return network_of(client)


def validate(client: MonaiAlgo, weights: Weights) -> float:
    metrics = client.evaluate(ExchangeObject(weights=copied(weights))).metrics
    assert metrics.keys() == {"val_loss"}
    return metrics["val_loss"]


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def largest_difference(one: Weights, other: Weights) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one)


# --- Rounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("resume", [False, True])
def test_each_round_begins_at_the_mean_and_moves_away_from_it(make_client: MakeClient, resume: bool) -> None:
    clients = [make_client(hospital, resume=resume) for hospital in ("north", "south")]
    begins = [record(client, Events.EPOCH_STARTED) for client in clients]
    given = [network_of(clients[0])]
    for _ in range(3):
        updates = [train(client, given[-1]) for client in clients]
        assert not same(*updates)
        assert not any(same(update, given[-1]) for update in updates)
        given.append(mean_of(*updates))
    for client, began in zip(clients, begins, strict=True):
        assert client.trainer is not None
        assert (client.trainer.state.epoch, client.trainer.state.iteration) == (3, 6)
        assert [same(*pair) for pair in zip(began, given, strict=False)] == [True] * 3


def test_a_restarted_client_trains_from_the_weights_that_it_is_given(make_client: MakeClient) -> None:
    first = make_client("north", resume=True)
    start = network_of(first)
    train(first, train(first, start))
    restarted = make_client("north")
    began = record(restarted, Events.EPOCH_STARTED)
    assert not same(train(restarted, start), start)
    assert [same(weights, start) for weights in began] == [True]


def test_a_client_learns_from_its_own_hospital_alone(make_client: MakeClient) -> None:
    """The same weights come out, to the bit, whether or not another hospital trains in between."""
    alone = make_client("north", folder="alone")
    start = network_of(alone)
    expected = train(alone, train(alone, start))
    north, south = make_client("north"), make_client("south")
    middle = train(north, start)
    validate(south, train(south, start))
    assert same(train(north, middle), expected)
    elsewhere = make_client("north", data="south", folder="elsewhere")
    assert not same(train(elsewhere, train(elsewhere, start)), expected)


def test_a_client_holds_slices_and_names_of_its_own_patients_only(
    make_client: MakeClient, hospitals: Path, tmp_path: Path
) -> None:
    clients = {hospital: make_client(hospital) for hospital in ("north", "south")}
    start = network_of(clients["north"])
    updates = [train(client, start) for client in clients.values()]
    for hospital, client in clients.items():
        validate(client, mean_of(*updates))
        assert client.trainer is not None
        assert client.evaluator is not None
        loaders = client.trainer.data_loader, client.evaluator.data_loader
        trained, validated = ({item.volume.patient for item in loader.dataset.data} for loader in loaders)
        assert len(trained) == 4
        assert validated
        assert trained | validated <= {path.name for path in (hospitals / hospital).iterdir()}
        for path in (tmp_path / hospital).rglob("*.pt"):
            assert read_checkpoint(path).patients == set(map(hash_patient, trained))


# --- Evaluation ------------------------------------------------------------------------------------


def test_evaluation_gives_the_key_metric_of_the_weights_that_it_is_given(make_client: MakeClient) -> None:
    """The oracle is the validation inside the training, which judges the client's own average."""
    client = make_client("north")
    start = network_of(client)
    trained = train(client, start)
    assert client.train_workflow is not None
    inside = client.train_workflow.evaluator.state.metrics["val_loss"]
    assert validate(client, average_of(client)) == inside
    assert validate(client, start) == pytest.approx(1, abs=0.05)  # a fresh denoiser predicts exactly 0
    assert validate(client, trained) not in (inside, validate(client, start))
    assert validate(client, average_of(client)) == inside
    assert same(network_of(client), trained)


def test_evaluation_keeps_the_best_and_the_last_of_the_weights_that_it_is_given(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client("north")
    start = network_of(client)
    local = tmp_path / "north" / "local" / "model_best.pt"
    trained = train(client, train(client, start))
    before = local.read_bytes()
    assert validate(client, trained) < validate(client, start)
    folder = tmp_path / "north" / "federated"
    for name, weights in {"model_best.pt": trained, "model_last.pt": start}.items():
        stored = read_checkpoint(folder / name).weights
        torch.testing.assert_close({key: stored[key].float() for key in weights}, weights, **HALF_PRECISION)
    assert local.read_bytes() == before
    assert not list(tmp_path.rglob("training_state.pt"))


# --- What is exchanged -----------------------------------------------------------------------------


def test_the_mean_of_the_averages_is_the_average_of_the_mean_network(make_client: MakeClient) -> None:
    """Averaging over steps and over hospitals commute, also across rounds."""
    clients = [make_client(hospital, ema_decay=0.5) for hospital in ("north", "south")]
    weights = network_of(clients[0])
    expected, paths = copied(weights), [record(client, Events.ITERATION_COMPLETED) for client in clients]
    for _ in range(3):
        weights = mean_of(*(train(client, weights) for client in clients))
    for update, networks in enumerate(zip(*paths, strict=True)):
        decay, center = min(0.5, (1 + update) / (10 + update)), mean_of(*networks)
        expected = {name: decay * expected[name] + (1 - decay) * center[name] for name in expected}
    found = mean_of(*map(average_of, clients))
    assert len(paths[0]) == 6
    assert largest_difference(found, expected) < 1e-6
    assert largest_difference(found, weights) > 1e-4


def test_the_final_model_is_the_average_over_the_steps(make_client: MakeClient) -> None:
    client = make_client("north")
    train(client, train(client, network_of(client)))
    final = client.get_weights({ExtraItems.MODEL_TYPE: ModelType.FINAL_MODEL})
    assert final.weights is not None
    stored = {name: value.float() for name, value in final.weights.items()}
    torch.testing.assert_close(stored, average_of(client), **HALF_PRECISION)
    assert largest_difference(stored, network_of(client)) > 1e-4


@pytest.mark.parametrize(
    "extra", [{}, {ExtraItems.MODEL_TYPE: ModelType.FINAL_MODEL}], ids=["round", "final"]
)
def test_weights_and_counts_leave_a_hospital_and_nothing_else(
    make_client: MakeClient, extra: dict[str, Any]
) -> None:
    client = make_client("north")
    network = network_of(client)
    train(client, network)
    sent = client.get_weights(extra)
    assert not dict(sent)
    assert sent.optim is None
    assert sent.metrics is None
    assert sent.weights is not None
    assert {name: value.shape for name, value in sent.weights.items()} == {
        name: value.shape for name, value in network.items()
    }
    assert sent.statistics is not None
    assert all(type(count) is int for count in sent.statistics.values())
    if not extra:
        assert sent.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] == 2


# --- The document ----------------------------------------------------------------------------------


def test_the_document_s_scripts_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = DOCUMENT.read_text()
    for command in re.findall(r"^    python -m mcf_bundle (.+)$", text, re.MULTILINE):
        main(shlex.split(command))
    training, statistics = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    (tmp_path / "training.py").write_text(training)
    left = runpy.run_path("training.py")
    losses = [validate(client, left["weights"]) for client in left["clients"]]
    printed = capsys.readouterr().out
    for hospital, loss in zip(("hospital_a", "hospital_b"), losses, strict=True):
        assert printed.count(hospital) >= 3
        assert f"{hospital} {{'val_loss': {loss}}}" in printed
        last = read_checkpoint(tmp_path / "runs" / "federated" / hospital / "federated" / "model_last.pt")
        torch.testing.assert_close(
            {name: value.float() for name, value in last.weights.items()}, left["weights"], **HALF_PRECISION
        )

    (tmp_path / "statistics.py").write_text(statistics)
    left = runpy.run_path("statistics.py")
    found, entries = left["statistics"], left["files"]["train"]
    data = tmp_path / "runs" / "federated" / "hospital_a" / "data"
    brightest = max(int(tifffile.imread(data / entry["image"]).max()) for entry in entries)
    assert found["train"][FlStatistics.DATA_COUNT] == len(entries) > 0
    assert found["train"][FlStatistics.FAIL_COUNT] == 0
    summary = found["train"][FlStatistics.DATA_STATS]["image_stats"]["intensity"]
    assert summary["max"] == brightest
