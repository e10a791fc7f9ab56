"""target.h5: what was stored comes back, with its basis and structures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archives import archive, small_basis

from grs_evo.errors import InputError
from grs_evo.storage.hdf5 import SEAL_BYTES
from grs_evo.storage.target_file import TargetData, read_target, write_target
from grs_evo.targets.target import Target


@pytest.fixture(scope="module")
def made() -> TargetData:
    structures = tuple(one.structure for one in archive(3).individuals)
    basis = small_basis()
    return TargetData(basis, Target.from_structures(list(structures), basis), structures)


def test_what_is_stored_comes_back(made: TargetData, tmp_path: Path) -> None:
    path = tmp_path / "target.h5"
    write_target(made.target, path, made.structures)
    found = TargetData.read(path)
    assert found.basis.hash == made.basis.hash
    for name, array in made.target.to_arrays().items():
        assert found.target.to_arrays()[name].tobytes() == np.asarray(array).tobytes(), name
    for one, other in zip(found.structures, made.structures, strict=True):
        assert one.positions.tobytes() == other.positions.tobytes()
    assert TargetData.from_bytes(made.to_bytes()).basis.hash == made.basis.hash
    with pytest.raises(InputError, match="another basis"):
        read_target(path, small_basis(("Cu",)))


def test_a_flipped_bit_is_refused(made: TargetData, tmp_path: Path) -> None:
    data = made.to_file()
    rng = np.random.default_rng(3)
    for place in [*rng.integers(0, SEAL_BYTES, 40), *rng.integers(0, len(data), 60)]:
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.integers(8)
        (tmp_path / "target.h5").write_bytes(flipped)
        with pytest.raises(InputError) as error:
            read_target(tmp_path / "target.h5")
        assert "\n" not in str(error.value)


def test_a_run_folder_stands_for_its_target(made: TargetData, tmp_path: Path) -> None:
    write_target(made.target, tmp_path / "target.h5")
    assert read_target(tmp_path).n_environments == made.target.n_environments
    with pytest.raises(InputError, match="cannot be read"):
        read_target(tmp_path / "none")
