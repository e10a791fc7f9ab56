"""Results of calculators find their structures: permuted, wrapped, turned; strays and contradictions are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from archives import archive
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

import grs_evo
from grs_evo import InputError
from grs_evo.cli import main
from grs_evo.datasets.labelling.matching import match
from grs_evo.exporters.export import export
from grs_evo.storage.archive_file import write_archive


def cells(count: int = 4) -> list[Atoms]:
    """Rattled Cu-Au cells of several shapes, with uids."""
    rng = np.random.default_rng(3)
    made = []
    for k in range(count):
        atoms = bulk("Cu", cubic=True) * (1, 1, 1 + k % 2)
        atoms.symbols[: 1 + k] = "Au"
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.1, rng=rng)
        atoms.info.update({"grs_uid": (2 << 40) + k, "group": f"kind{k % 2}"})
        made.append(atoms)
    return made


def computed(atoms: Atoms) -> Atoms:
    """A copy with EMT's results; its uid is lost, as in most outputs."""
    one = atoms.copy()
    one.info.clear()
    one.calc = EMT()
    one.get_potential_energy()
    one.get_forces()
    one.get_stress()
    return one


def assert_labelled(one: Atoms, was: Atoms) -> None:
    told = computed(was)
    assert one.get_chemical_symbols() == was.get_chemical_symbols()
    np.testing.assert_allclose(one.positions, was.positions, atol=1e-7)
    assert one.get_potential_energy() == pytest.approx(told.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(one.get_forces(), told.get_forces(), atol=1e-6)
    np.testing.assert_allclose(one.get_stress(), told.get_stress(), atol=1e-7)


def turned(atoms: Atoms) -> Atoms:
    """In another order, other images and another orientation."""
    rng = np.random.default_rng(9)
    one = atoms[rng.permutation(len(atoms))]
    one.positions += rng.integers(-1, 2, size=(len(one), 3)) @ one.cell[:]
    one.rotate(37.0, (1.0, 2.0, -1.0), rotate_cell=True)
    return one


def test_an_output_in_another_order_wrapped_and_turned_is_brought_back(tmp_path: Path) -> None:
    given = cells()
    write(tmp_path / "run.traj", [computed(turned(one)) for one in reversed(given)])
    found = grs_evo.label(tmp_path / "run.traj", given, tmp_path / "out.extxyz")
    assert not found.missing
    assert found.by_uid == 0
    for one, was in zip(read(tmp_path / "out.extxyz", ":"), given, strict=True):
        assert_labelled(one, was)
        assert one.info["group"] == was.info["group"]
        assert one.info["grs_uid"] == was.info["grs_uid"]
        assert one.info["grs_label_source"].startswith(str(tmp_path / "run.traj"))


def test_the_turned_cell_is_found_and_no_other() -> None:
    a, b, *_ = cells()
    assert match(a, turned(a), 1e-6).farthest < 1e-9
    assert match(a, b, 0.01) is None
    moved = turned(a)
    moved.positions[2] += 0.02
    assert match(a, moved, 0.01) is None
    assert match(a, moved, 0.1) is not None


def vasprun(atoms: Atoms) -> str:
    """What of a vasprun.xml ASE needs: two electronic energies, forces and stress (kB) of each ionic step."""

    def rows(name: str, values: np.ndarray) -> str:
        return f'<varray name="{name}">' + "".join(f"<v>{x} {y} {z}</v>" for x, y, z in values) + "</varray>"

    told = computed(atoms)
    stress = -told.get_stress(voigt=False) / 0.1 * 160.21766208
    energies = "".join(
        f'<i name="{name}">{value}</i>'
        for name, value in (
            ("e_fr_energy", told.get_potential_energy()),
            ("e_wo_entrp", 0.0),
            ("e_0_energy", told.get_potential_energy() + 0.5),
        )
    )
    symbols = "".join(f"<rc><c>{s}</c><c>1</c></rc>" for s in atoms.get_chemical_symbols())
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling><kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray></kpoints>
<parameters></parameters><atominfo><array name="atoms"><set>{symbols}</set></array></atominfo>
<structure name="initialpos"><crystal>{rows("basis", atoms.cell[:])}</crystal>
{rows("positions", atoms.get_scaled_positions(wrap=False))}</structure>
<calculation><scstep><energy>{energies}</energy></scstep>
<structure><crystal>{rows("basis", atoms.cell[:])}</crystal>
{rows("positions", atoms.get_scaled_positions(wrap=False))}</structure>
{rows("forces", told.get_forces())}{rows("stress", stress)}<energy>{energies}</energy></calculation></modeling>"""


def test_vasp_folders_of_an_export_come_back_by_uid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = archive(4, elements=("Cu", "Au"), in_set=0)
    write_archive(tmp_path / "archive.h5", made)
    for poscar in export(made, tmp_path / "dft", format="vasp", top=3):
        poscar.with_name("vasprun.xml").write_text(vasprun(read(poscar)))
    out = tmp_path / "set.extxyz"
    with pytest.raises(SystemExit) as end:
        main(["label", str(tmp_path / "dft"), "--structures", str(tmp_path), "-o", str(out)])
    assert not end.value.code
    told = capsys.readouterr().out
    assert told.startswith("3 structures labelled (3 by uid, 0 by cell and positions; 3 with stress)")
    assert "without result: 1 structure" in told
    whole = {one.uid: k for k, one in enumerate(made.individuals)}
    for one in read(out, ":"):
        assert_labelled(one, made.atoms(whole[one.info["grs_uid"]]))


def test_of_a_relaxation_the_step_that_is_the_structure_is_taken(tmp_path: Path) -> None:
    (one, *_) = cells()
    later = one.copy()
    later.rattle(0.1, seed=1)
    write(tmp_path / "relax.traj", [computed(one), computed(later)])
    found = grs_evo.label(tmp_path / "relax.traj", one)
    assert found.passed_over == 1
    assert_labelled(found.atoms[0], one)


def test_what_is_refused(tmp_path: Path) -> None:
    given = cells()
    write(tmp_path / "given.extxyz", given)
    moved = given[0].copy()
    moved.rattle(0.2, seed=1)
    stray = computed(moved)
    for name, atoms, words in (
        ("stray", stray, "belongs to none of the 4 structures: 1 have its composition, but another cell or atoms"),
        ("other", computed(bulk("Ni", cubic=True)), "none has its composition"),
        ("bare", given[0], "has no energy"),
    ):
        write(tmp_path / f"{name}.traj", atoms)
        with pytest.raises(InputError, match=words) as caught:
            grs_evo.label(tmp_path / f"{name}.traj", tmp_path / "given.extxyz")
        assert "\n" not in str(caught.value)
    stray.info["grs_uid"] = given[0].info["grs_uid"]
    write(tmp_path / "moved.extxyz", stray)
    with pytest.raises(InputError, match=r"says that it is of .*uid 2/0.*was it relaxed"):
        grs_evo.label(tmp_path / "moved.extxyz", tmp_path / "given.extxyz")
    twice = [computed(given[0]), computed(given[0])]
    write(tmp_path / "a.traj", twice[0])
    assert len(grs_evo.label([tmp_path / "a.traj"] * 2, given).atoms) == 1
    twice[1].calc.results["energy"] = twice[1].calc.results["free_energy"] = 0.0
    write(tmp_path / "b.traj", twice[1])
    with pytest.raises(InputError, match=r"b.traj: has 0.000000 eV for structure 0, and .*a.traj has"):
        grs_evo.label([tmp_path / "a.traj", tmp_path / "b.traj"], given)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no output"):
        grs_evo.label(tmp_path / "empty", given)


def test_from_the_command_line_to_a_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, out = tmp_path / "given.extxyz", tmp_path / "out.extxyz"
    write(given, cells(6))
    write(tmp_path / "done.extxyz", [computed(one) for one in cells(6)])
    arguments = ["label", str(tmp_path / "done.extxyz"), "--structures", str(given), "-o"]
    for more, code in (([str(out), "--json"], 0), ([str(tmp_path / "x.vasp")], 2), ([str(out), "--tolerance", "2"], 2)):
        with pytest.raises(SystemExit) as end:
            main([*arguments, *more])
        assert int(end.value.code or 0) == code
    told = json.loads(capsys.readouterr().out)
    assert told == {"labelled": 6, "by_uid": 0, "passed_over": 0, "missing": []}
    basis = grs_evo.build_basis(["Cu", "Au"], (2,), (0,), 4.0)
    assert grs_evo.refit(out, basis=basis).n_structures == 6
