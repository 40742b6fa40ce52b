"""A finished run as a few tar files in WebDataset's layout, and back, where a million files would hurt."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from mcf_bundle.arguments import as_path, check_whole
from mcf_bundle.atomic_file import replaced_when_whole, write_atomically
from mcf_bundle.bounded_file import parse_json
from mcf_bundle.errors import DataError, McfError
from mcf_bundle.folder_lock import check_unclaimed, claimed
from mcf_bundle.generation.finished_run import read_run
from mcf_bundle.generation.output_folder import MANIFEST_FILE, RUN_FILES, prepare_output_dir
from mcf_bundle.generation.stored_record import Record
from mcf_bundle.generation.writer import case_files, write_case_files
from mcf_bundle.limits import MAX_SLICE_BYTES
from mcf_bundle.networks.checkpoint import hash_file
from mcf_bundle.progress import progress_bar

logger = logging.getLogger(__name__)

SHARDS_FILE = "shards.json"
"""Which shards there are, with the SHA-256 of each; written last."""

EXTENSIONS = (
    *("previous.tif", "image.tif", "next.tif"),
    *("previous_mask.tif", "mask.tif", "next_mask.tif"),
)
"""What a sample's files are called in a shard, in the order of `case_files`; its line of the manifest is
``json``."""

_PACK_AGAIN = "pack the run again"


def pack_run(run_dir: str | Path, output_dir: str | Path, *, images_per_shard: int = 1000) -> list[Path]:
    """Pack a finished run into tar files that WebDataset reads, beside copies of the run's own files.

    A sample's key is the plan's first twelve digits and the case's name, so that the parts of a large dataset
    can be read together. The same run gives the same bytes. Killed and started again, it goes on after the
    last whole shard; the run's folder stays as it is.

    Args:
        run_dir: the run's folder.
        output_dir: folder of the shards; new, empty, or that of the same run.
        images_per_shard: samples of a tar file, 1 or more.

    Returns:
        The shards.

    Raises:
        ArgumentError: `images_per_shard` is below 1.
        DataError: the run did not come to its end, a file of it is missing or is not what the manifest says,
            or `output_dir` cannot be used.
        BusyError: another job works in one of the folders.
    """
    run_dir, output_dir = as_path(run_dir, "run_dir"), as_path(output_dir, "output_dir")
    check_whole("images_per_shard", images_per_shard, least=1)
    check_unclaimed(run_dir)
    run = read_run(run_dir)
    if not run.records:
        raise DataError(run_dir, "the run has no images", "generate some first")
    starts = range(0, len(run.records), images_per_shard)
    parts = {f"shard-{i:06d}.tar": run.records[a : a + images_per_shard] for i, a in enumerate(starts)}
    _check_folder(output_dir, run.plan.plan_id, parts)
    with claimed(output_dir):
        for name in RUN_FILES:
            write_atomically(output_dir / name, _read(run_dir / name))
        listed = []
        with progress_bar(len(parts), "packing", unit="shard") as bar:
            for name, part in parts.items():
                shard = output_dir / name
                if not (shard.is_file() and _holds(shard, part)):
                    _write_shard(shard, part, run_dir)
                listed.append({"name": name, "images": len(part), "sha256": hash_file(shard)})
                bar.update()
        text = json.dumps({"plan_id": run.plan.plan_id, "shards": listed}, indent=1)
        write_atomically(output_dir / SHARDS_FILE, f"{text}\n".encode())
    return [output_dir / name for name in parts]


def unpack_run(shards_dir: str | Path, output_dir: str | Path) -> int:
    """Make the folder of a run again from its shards; every file is as it was, byte by byte.

    Args:
        shards_dir: output folder of `pack_run`.
        output_dir: the run's folder; new, empty, or an unfinished one of the same run.

    Returns:
        The number of images.

    Raises:
        DataError: a shard is missing, damaged, or holds something else than the manifest says; names it.
        PlanError: `output_dir` holds something else.
        BusyError: another job works there.
    """
    shards_dir, output_dir = as_path(shards_dir, "shards_dir"), as_path(output_dir, "output_dir")
    shards = _listed_shards(shards_dir)
    run = read_run(shards_dir)
    records = {_key(record): record for record in run.records}
    run_file, *others = RUN_FILES
    with claimed(output_dir):
        prepare_output_dir(output_dir, plan_id=run.plan.plan_id)
        # The plan says whose folder it is, and run.json that all of it is there.
        for name in reversed(others):
            write_atomically(output_dir / name, _read(shards_dir / name))
        with progress_bar(len(shards), "unpacking", unit="shard") as bar:
            for path in shards:
                for key, contents in _samples(path):
                    record = records.pop(key, None)
                    if record is None:
                        raise DataError(path, f"holds {key}, which the manifest does not list", _PACK_AGAIN)
                    write_case_files(output_dir, record["name"], _checked(path, record, contents))
                bar.update()
        if records:
            problem = f"no shard holds {min(records)}, which the manifest lists"
            raise DataError(shards_dir / MANIFEST_FILE, problem, _PACK_AGAIN)
        write_atomically(output_dir / run_file, _read(shards_dir / run_file))
    return len(run.records)


def _key(record: Record) -> str:
    """Return the key of an image's sample."""
    return f"{record['plan_id'][:12]}/{record['name']}"


def _check_folder(output_dir: Path, plan_id: str, names: Collection[str]) -> None:
    """Refuse a folder that holds something else than the same run's shards."""
    found = sorted(path.name for path in output_dir.iterdir()) if output_dir.is_dir() else []
    ours = {*RUN_FILES, *names, SHARDS_FILE}
    foreign = [name for name in found if name not in ours and not name.startswith(".")]
    if foreign:
        problem = f"holds what this run's shards do not need: {', '.join(foreign[:3])}"
        raise DataError(output_dir, problem, "choose a new or empty folder as output_dir")
    if MANIFEST_FILE in found and (earlier := read_run(output_dir).plan.plan_id) != plan_id:
        problem = f"holds the shards of another run (plan {earlier[:12]}, this one is {plan_id[:12]})"
        raise DataError(output_dir, problem, "choose another output_dir")


def _write_shard(shard: Path, records: Sequence[Record], run_dir: Path) -> None:
    with (
        replaced_when_whole(shard) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for record in records:
            contents = {name: _read(run_dir / record["name"] / name) for name in case_files(record["name"])}
            checked = _checked(run_dir / MANIFEST_FILE, record, contents)
            line = json.dumps(record).encode()
            for extension, data in (("json", line), *zip(EXTENSIONS, checked.values(), strict=True)):
                # Owner, mode and date are the same everywhere, as TarInfo has them.
                member = tarfile.TarInfo(f"{_key(record)}.{extension}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _holds(shard: Path, records: Sequence[Record]) -> bool:
    """Tell whether a shard is whole and holds just these images."""
    try:
        found = dict(_samples(shard))
        expected = {_key(record): record for record in records}
        return found.keys() == expected.keys() and all(
            _checked(shard, expected[key], contents) for key, contents in found.items()
        )
    except DataError as error:
        logger.warning("%s is packed again: %s", shard, error.problem)
        return False


def _samples(shard: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the samples of a shard by key, with the files of each under their names in the run's folder."""
    try:
        with tarfile.open(shard, mode="r:") as tar:
            key, contents = "", dict[str, bytes]()
            for member in tar:
                found, _, extension = member.name.partition(".")
                if found != key and key:
                    yield key, contents
                    contents = {}
                key = found
                if extension == "json":
                    continue
                if extension not in EXTENSIONS or not member.isfile() or member.size > MAX_SLICE_BYTES:
                    raise DataError(shard, f"holds {member.name}, which no packing wrote", _PACK_AGAIN)
                file = tar.extractfile(member)
                name = key.rpartition("/")[2]
                contents[case_files(name)[EXTENSIONS.index(extension)]] = b"" if file is None else file.read()
            if key:
                yield key, contents
    except McfError:
        raise
    except (OSError, tarfile.TarError, ValueError, OverflowError) as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
        raise DataError(shard, problem, _PACK_AGAIN) from error


def _checked(where: Path, record: Record, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a case's files in order if they are what its line of the manifest says."""
    name = record["name"]
    for file_name in case_files(name):
        digest = hashlib.sha256(contents.get(file_name, b"")).hexdigest()
        if record["sha256"].get(f"{name}/{file_name}") != digest:
            problem = f"{name}/{file_name} is missing or not what the manifest says"
            raise DataError(where, problem, "generate the images again, with the same command")
    return {file_name: contents[file_name] for file_name in case_files(name)}


def _listed_shards(shards_dir: Path) -> list[Path]:
    path = shards_dir / SHARDS_FILE
    content = _read(path)
    try:
        listed = parse_json(content)["shards"]
        shards = {shards_dir / item["name"]: item["sha256"] for item in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(path, f"is no list of shards ({type(error).__name__})", _PACK_AGAIN) from error
    for shard, digest in shards.items():
        if shard.parent != shards_dir or not shard.is_file() or hash_file(shard) != digest:
            raise DataError(shard, "is missing or not what shards.json says", _PACK_AGAIN)
    return list(shards)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DataError(path, problem, "give the folder of a finished run, or of its shards") from error
