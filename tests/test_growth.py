"""Sets grown by information: the goal's rows, greedy additions, exchanges that lower what is left open."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from grs_evo import InputError
from grs_evo.datasets.design import design_rows
from grs_evo.datasets.growth.goal import make_goal
from grs_evo.datasets.growth.growing import Grower
from grs_evo.datasets.growth.taught import Measure
from grs_evo.search.population.representative_set import InformationOptions
from grs_evo.structures.structure import Structure, from_atoms


def rattled(size: int, rattle: float, seed: int, strain: float = 0.0) -> Structure:
    atoms: Atoms = bulk("Cu", cubic=True) * (size, 1, 1)
    atoms.set_cell(atoms.cell[:] * (1.0 + strain), scale_atoms=True)
    atoms.rattle(rattle, seed=seed)
    return from_atoms(atoms, ["Cu"])


TARGET = [rattled(4, 0.1, k) for k in range(3)]


def goal(**options: float):
    return make_goal(TARGET, ["Cu"], InformationOptions(cutoff=4.5, **options))


def test_far_structures_weigh_less() -> None:
    near, far = rattled(2, 0.1, 9), rattled(2, 0.4, 9, strain=0.15)
    flat, weighed = goal(misfit=0.0), goal(misfit=0.5)
    assert flat.distance(far) > 5.0 * flat.distance(near)
    # the target's own environments are at distance 1 in the mean
    assert np.mean([flat.distance(one) for one in TARGET]) == pytest.approx(1.0, abs=1e-6)
    ratio = weighed.rows(far) / flat.rows(far)
    assert np.allclose(ratio, flat.distance(far) ** -0.5)


def test_an_energy_is_known_to_ten_meV_and_a_force_to_a_tenth() -> None:
    made, one = goal(misfit=0.0), rattled(1, 0.2, 1)
    rows, design = made.rows(one) * made.scale, design_rows(one, made.basis)
    assert np.allclose(rows[0], (design.energy - made.centre) / 0.01)
    assert np.allclose(rows[1:], design.forces / 0.1)


def test_what_is_left_open_is_the_trace_of_its_definition() -> None:
    made = goal(misfit=0.0)
    members = [rattled(1, 0.2, k) for k in range(3)]
    rows = np.concatenate([made.rows(one) for one in members])
    direct = np.trace(made.aim @ np.linalg.inv(rows.T @ rows + made.options.ridge * np.eye(made.n_columns)))
    assert Grower(made).left_open(members) == pytest.approx(direct, rel=1e-8)
    # forces alone: the target itself as the set leaves one, up to what its energies add
    assert Grower(goal(misfit=0.0, energies=0.0), TARGET).left_open([]) == pytest.approx(1.0, rel=0.2)


def test_additions_are_greedy_per_cost_and_exchanges_only_help() -> None:
    made = goal()
    pool = [rattled(1 + k % 2, 0.05 + 0.05 * (k % 4), k) for k in range(12)]
    grower = Grower(made)
    first = grower.grow([], pool, 1, 0)
    alone = [(grower.left_open([]) - grower.left_open([one])) / one.n_atoms**made.options.cost for one in pool]
    assert first.added == (int(np.argmax(alone)),)
    worst = [pool[int(k)] for k in np.argsort(alone)[:3]]
    after = grower.grow(worst, pool, 0, 2)
    assert 1 <= len(after.added) <= 2
    assert len(after.members) + len(after.added) == 3
    kept = [worst[k] for k in after.members] + [pool[k] for k in after.added]
    assert after.left_open == pytest.approx(grower.left_open(kept))
    assert after.left_open < grower.left_open(worst)
    assert sum(one.n_atoms for one in kept) <= sum(one.n_atoms for one in worst)


def test_a_budget_is_kept_and_what_cannot_be_described_counted() -> None:
    close = rattled(1, 0.0, 0)
    positions = close.positions.copy()
    positions[1] = positions[0] + 1e-9
    close = close.replace(positions=positions)
    found = Grower(goal()).grow([], [close, *(rattled(1, 0.1, k) for k in range(4))], 9, 0, lambda _, n: n <= 8)
    assert len(found.added) == 2
    assert 0 not in found.added
    assert found.refused == 1


def test_a_target_too_large_to_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grs_evo.datasets.growth.goal._MOST_ATOMS", 10)
    with pytest.raises(InputError, match="give a part of it"):
        goal()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cutoff": 60.0}, r"set.information.cutoff: 60 Å holds some 7\d,\d{3} neighbours per atom"),
        ({"cutoff": 0.5}, "set.information.cutoff: no two atoms of the target are within 0.5 Å"),
    ],
)
def test_a_cutoff_that_tells_nothing_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_goal(TARGET, ["Cu"], InformationOptions(**options))


def test_the_target_itself_leaves_one_and_more_structures_less() -> None:
    measure = Measure(TARGET, ["Cu"])
    itself = measure.of(TARGET)
    # its forces; energies are told by few structures, whose mean its own rows are not measured from
    assert itself.forces == pytest.approx(1.0, rel=0.2)
    assert abs(itself.log_det) < 0.5
    few, more = measure.of([rattled(1, 0.2, 1)]), measure.of([rattled(1, 0.2, k) for k in (1, 2)])
    assert few.forces > more.forces > itself.forces
    assert few.energies > more.energies
    assert few.log_det < more.log_det < itself.log_det
    beside = Measure(TARGET, ["Cu"], [rattled(1, 0.2, 1)]).of([rattled(1, 0.2, 2)])
    assert beside.log_det == pytest.approx(more.log_det, rel=1e-9)
    assert "times what the target itself" in few.sentence()
