"""What a run is: its run file, stamped against changes, its fingerprint, and the versions that made it."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from importlib import metadata

import numpy as np
from threadpoolctl import threadpool_info

from grs_evo import __version__
from grs_evo.driver.config.changes import differences
from grs_evo.driver.config.plugged import recorded
from grs_evo.driver.config.run_file import EXTENDABLE, RunFile, parse
from grs_evo.driver.config.toml import to_toml
from grs_evo.errors import InputError
from grs_evo.kernels import processor
from grs_evo.loss.terms.table import source_digest
from grs_evo.parallel.communicator import World
from grs_evo.storage import checkpoint
from grs_evo.storage.run_folder import Folder, check_contents, json_table
from grs_evo.storage.target_file import TargetData

_CHECKSUM = re.compile(r"^# checksum ([0-9a-f]{16})\n", re.MULTILINE)
# Options that came after checkpoints without them, with what was done before: as such they change no fingerprint.
_LATER = {("basis", "preset"): None, ("relax", "precision"): "double"}


_PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "ase", "h5py", "deap", "mpi4py", "spglib", "pydantic")
# What the bits of an archive depend on besides run file and seed, and how it is called where it differs.
_DECIDING = {
    "cpu": "processor",
    "instructions": "instruction sets",
    "cpu_features": "processor features",
    **{name: name for name in ("numpy", "numba", "llvmlite", "scipy")},
    "numpy_simd": "instruction sets of numpy",
    "blas": "BLAS",
}


def stamped(run_: RunFile) -> str:
    """The effective run file with a checksum, by which a later resume knows its own writing."""
    text = to_toml(run_)
    return f"# checksum {_digest(text.encode())}\n{text}"


def unchanged(folder: Folder, point: checkpoint.Checkpoint | None) -> RunFile:
    """The run file of a folder.

    Raises
    ------
    InputError
        Somebody has changed it, the target or the inputs since the run began; the message shows what.
    """
    check_contents(folder)
    try:
        text = folder.run_file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{folder.run_file}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{folder.run_file}: cannot be read: {error.strerror}") from None
    found = parse(text, str(folder.run_file))
    match = _CHECKSUM.match(text)
    own = match is not None and match[1] == _digest(text[match.end() :].encode())
    if point is not None:
        changed = differences(parse(point.run_file, "the checkpoint's run file"), found)
        if own:
            changed = [line for line in changed if line.partition(".")[0] not in EXTENDABLE]
    else:
        changed = [] if own else ["its checksum is another"]
    if changed:
        raise InputError(
            f"{folder.run_file}: was changed since the run began ({'; '.join(changed)}); restore it, use "
            "`resume --extend key=value` for stop rules, or begin a new run"
        )
    return found


def fingerprint(run_: RunFile, target_data: TargetData) -> dict[str, str]:
    """What a checkpoint is of: everything that the result depends on.

    The run file counts by its values; how its options are described has no part in it.
    """
    dumped = run_.model_dump(mode="json", exclude=set(EXTENDABLE))
    for (part, name), before in _LATER.items():
        if dumped[part] is not None and dumped[part][name] == before:
            del dumped[part][name]
    values = json.dumps(dumped, sort_keys=True)
    target = hashlib.blake2b(digest_size=8)
    for name, array in sorted(target_data.target.to_arrays().items()):
        target.update(name.encode() + np.ascontiguousarray(array).tobytes())
    found = {
        "run file": _digest(values.encode()),
        "seed": str(run_.seed),
        "basis": target_data.basis.hash,
        "target": target.hexdigest(),
    }
    outside = source_digest(run_.loss)
    if outside:
        found["source of loss.terms"] = outside
    for name, told in recorded(run_).items():
        if not name.startswith(("observables ", "callbacks ")):  # these look at what was found, and change nothing
            found[f"source of {name}"] = _digest(told.encode())
    return found


def check_same(folder: Folder, point: checkpoint.Checkpoint, expected: Mapping[str, str]) -> None:
    """Raise an InputError unless a checkpoint is of this seed, basis and target.

    Its run file is compared by `unchanged`, value by value; in older checkpoints its hash covers descriptions too.
    """
    for name, value in expected.items():
        if name != "run file" and point.fingerprint.get(name) != value:
            raise InputError(f"{folder.path}: {name} is not that of the checkpoint; the run folder was changed")


def versions(world: World, run_: RunFile | None = None) -> str:
    """What computed the run, as JSON.

    Parameters
    ----------
    run_ : whose parts from outside the package are recorded: place, version, digest of the source
    """
    found = {"grs_evo": __version__, "python": platform.python_version(), "mpi": world.library}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["platform"] = platform.platform()
    if run_ is not None:
        found |= recorded(run_)
    return json.dumps(found | _arithmetic(), indent=1) + "\n"


def _arithmetic() -> dict[str, str]:
    """What does the arithmetic of this process, beside the versions of packages."""
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    libraries = {
        f"{one['internal_api']} {one['version']} {one.get('architecture', '')}".strip()
        for one in threadpool_info()
        # scipy brings one of its own, which decides nothing in a run and is not loaded at every moment of it
        if one.get("user_api") == "blas" and "scipy.libs" not in one["filepath"]
    }
    return {**processor(), "numpy_simd": " ".join(simd), "blas": ", ".join(sorted(libraries))}


def moved(folder: Folder, now: str) -> str:
    """What differs between the machine and libraries that began a run and these, in a line; empty where nothing does.

    Parameters
    ----------
    now : what `versions` gives here; of folders of earlier versions, which recorded less, what they have is compared
    """
    before, here = json_table(folder.versions), json.loads(now)
    changed = [
        f"{called} {before[name]}, now {here[name]}"
        for name, called in _DECIDING.items()
        if name in before and name in here and not _alike(name, before[name], here[name])
    ]
    if not changed:
        return ""
    return f"{folder.path}: was begun elsewhere: {'; '.join(changed)}"


def _alike(name: str, before: str, here: str) -> bool:
    if name == "blas":  # folders of earlier versions name that of scipy as well
        return set(here.split(", ")) <= set(before.split(", "))
    return before == here


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
