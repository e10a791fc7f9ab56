# SPDX-License-Identifier: BSD-3-Clause
"""Spack: copy to packages/py-grs-evo/package.py of a repository of your own."""

from spack.package import *  # noqa: F403  # as every Spack package begins


class PyGrsEvo(PythonPackage):  # noqa: F405
    """MPI-parallel evolutionary search for generalized representative structures."""

    pypi = "grs-evo/grs_evo-0.1.0.tar.gz"

    license("BSD-3-Clause")

    # the checksum is that of the release, which `spack checksum py-grs-evo` adds
    version("0.1.0")  # noqa: F405

    depends_on("python@3.11:", type=("build", "run"))  # noqa: F405
    depends_on("py-hatchling@1.21:", type="build")  # noqa: F405
    depends_on("py-numpy@1.26:", type=("build", "run"))  # noqa: F405
    depends_on("py-numba@0.60:0.69", type=("build", "run"))  # noqa: F405
    depends_on("py-scipy@1.11:", type=("build", "run"))  # noqa: F405
    depends_on("py-ase@3.23:", type=("build", "run"))  # noqa: F405
    depends_on("py-deap@1.4:", type=("build", "run"))  # noqa: F405
    depends_on("py-h5py@3.10:", type=("build", "run"))  # noqa: F405
    depends_on("py-mpi4py@4.1:", type=("build", "run"))  # noqa: F405
    depends_on("py-pydantic@2.6:", type=("build", "run"))  # noqa: F405
    depends_on("py-click@8.1:", type=("build", "run"))  # noqa: F405
    depends_on("py-rich@13:", type=("build", "run"))  # noqa: F405
    depends_on("py-spglib@2.5:", type=("build", "run"))  # noqa: F405
    depends_on("py-pyyaml@6:", type=("build", "run"))  # noqa: F405
    depends_on("py-platformdirs@4:", type=("build", "run"))  # noqa: F405
    depends_on("py-threadpoolctl@3:", type=("build", "run"))  # noqa: F405
