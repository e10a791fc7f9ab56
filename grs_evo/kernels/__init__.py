"""All compiled code, in the order of what it serves: `geometry/`, `ace/`, `loss/`, `relaxation/`, `lattice/`.

    geometry ─► ace ─► loss ─► relaxation          atoms that move
                         └───► lattice             atoms on fixed sites
    observables                                    what a person checks; no part of a search

| about | module |
|---|---|
| what is an entry point, what a part of one, and how is each compiled? | `compiling` |
| subscripts of arrays, as few instructions | `subscripts` |
| named tuples that compiled code takes by their address | `bundles` |
| copies and comparisons of whole arrays | `arrays` |
| eight numbers at once: vectors, and access to arrays without checks | `simd` |
| calls of compiled functions by their address, so that each is compiled once | `calls` |
| keys of contents: BLAKE2b | `digest` |
| coefficients of polynomials in place of library functions | `polynomials` |

Kernels neither check nor raise: what they are given was checked before, and what they find is a status they return.

Importing this package decides where Numba keeps what it compiled.
Numba notices when the file of a function changes but not when a function it calls does, so the cache folder is named
by the content of all kernel sources and the versions that compiled them, wherever it is. What a processor can do is no
part of the name: Numba keeps its name and its instruction sets in the key of each function, so that machines that share
a folder never run code of each other's kind. Numba writes each cache file beside its place and renames it, so nobody
reads half a file; processes that start together wait for each other where locks work (`compiling`).

Cache files are pickles, which run what they hold when they are read. So a folder is used only where nobody but the user
(and root) can put files into it.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
import warnings
from pathlib import Path


def _fingerprint() -> str:
    import llvmlite
    import numba
    import numpy

    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    digest.update(f"{numba.__version__} {llvmlite.__version__} {numpy.__version__}".encode())
    return digest.hexdigest()


def _private(folder: Path) -> bool:
    """Whether a folder, made where there is none, is the user's own, and nobody else may write or rename in it.

    Above it, folders that all may write are allowed only where files of others cannot be renamed (sticky, as /tmp).
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode):  # a link can be pointed elsewhere by whoever made it
            return False
        if hasattr(os, "geteuid") and (facts.st_uid != os.geteuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
            return False
        above = [one.stat().st_mode for one in folder.resolve().parents]
        if any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in above):
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _place_cache() -> Path | None:
    """Point Numba at a cache folder of our own: below NUMBA_CACHE_DIR where that is set, else below the user's.

    A home that cannot be written (a compute node, a container) is replaced by a private folder under the system's
    temporary directory, and that, where somebody else was there first, by a new one that lasts as long as the process.
    Where nothing can be written at all, Numba falls back to its own choice.
    """
    import numba
    from platformdirs import user_cache_path

    name = _fingerprint()
    given = os.environ.get("NUMBA_CACHE_DIR")
    usual = Path(given).absolute() / f"grs_evo-{name}" if given else user_cache_path("grs_evo") / name
    temporary = Path(tempfile.gettempdir())
    private = temporary / f"grs_evo-{os.getuid() if hasattr(os, 'getuid') else 'user'}-{name}"
    for folder in (usual, private):
        if _private(folder):
            break
        if folder == usual and given:
            warnings.warn(
                f"NUMBA_CACHE_DIR: {folder} cannot be used: it must be a folder of yours that you can write and others "
                "cannot; compiled code is kept elsewhere",
                RuntimeWarning,
                stacklevel=2,
            )
    else:
        try:
            folder = Path(tempfile.mkdtemp(prefix="grs_evo-"))
        except OSError:
            return None
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    numba.config.CACHE_DIR = str(folder)
    return folder


def processor() -> dict[str, str]:
    """What the kernels are compiled for: results are bit for bit the same only where these are.

    Returns
    -------
    ``cpu``, LLVM's name of the processor; ``instructions``, its instruction sets for arithmetic; ``cpu_features``, a
    digest of all that LLVM knows of it
    """
    from llvmlite import binding
    from numba import config

    try:
        host = {name for name, has in binding.get_host_cpu_features().items() if has}
    except RuntimeError:  # LLVM cannot tell on this system
        host = set()
    given = config.CPU_FEATURES  # instead of the host's
    found = host if given is None else {one[1:] for one in given.split(",") if one.startswith("+")}
    digest = hashlib.blake2b(f"{sorted(found)} {sorted(host)}".encode(), digest_size=8).hexdigest()
    named = ("sse2", "avx", "avx2", "fma", "avx512f", "avx512vl", "neon", "sve")
    return {
        "cpu": config.CPU_NAME or binding.get_host_cpu_name(),
        "instructions": " ".join(name for name in named if name in found),
        "cpu_features": digest,
    }


CACHE_FOLDER = _place_cache()
