"""All compiled code, in the order of what it serves: `geometry/`, `ace/`, `loss/`, `relaxation/`, `lattice/`.

    geometry ─► ace ─► loss ─► relaxation          atoms that move
                         └───► lattice             atoms on fixed sites

| about | module |
|---|---|
| eight numbers at once: vectors, and access to arrays without checks | `simd` |
| calls of compiled functions by their address, so that each is compiled once | `calls` |

Kernels neither check nor raise: what they are given was checked before, and what they find is a status they return.

Importing this package decides where Numba keeps what it compiled.
Numba notices when the file of a function changes but not when a function it calls does, so the cache folder is named
by the content of all kernel sources and the versions that compiled them. Numba writes each cache file beside its place
and renames it, so ranks that start together may compile twice but never read half a file.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
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


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _place_cache() -> Path | None:
    """Point Numba at our own cache folder, unless NUMBA_CACHE_DIR says where.

    A home that cannot be written (a compute node, a container) is replaced by a private folder under the system's
    temporary directory; without either, Numba falls back to its own choice.
    """
    import numba
    from platformdirs import user_cache_path

    if os.environ.get("NUMBA_CACHE_DIR"):
        return None
    name = _fingerprint()
    private = Path(tempfile.gettempdir()) / f"grs_evo-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    for folder in (user_cache_path("grs_evo") / name, private / name):
        if _writable(folder):
            numba.config.CACHE_DIR = str(folder)
            return folder
    return None


CACHE_FOLDER = _place_cache()
