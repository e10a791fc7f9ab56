"""What rank 0 makes of a round's candidates: those that join the set, those that give way, and whether it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grs_evo.datasets.growth.goal import make_goal
from grs_evo.datasets.growth.growing import Grower
from grs_evo.driver.sets.progress import SetProgress, smallest
from grs_evo.parallel.coordinator import Arrays
from grs_evo.search.population import representative_set as sets
from grs_evo.search.population.individual import Individual
from grs_evo.search.state import IslandState
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.structure import Structure
from grs_evo.text import counted

# Loss of the core beyond which atoms of a candidate overlap: the search lets them for a while, and their large forces
# would count as much to be learnt. Below it a relaxation has not quite ended.
_OVERLAP = 0.01


@dataclass(frozen=True, eq=False)
class Judged:
    """What became of a round."""

    told: tuple[Individual, ...]  # for the other ranks: what is new, or the whole set where others gave way
    changes: int  # structures that joined
    progress: SetProgress  # after the round
    done: str  # why the set is done; empty while it is not
    note: str = ""  # for people


class Judge:
    """Rank 0's judge of rounds; makes what information needs of the target once, when the first round is over."""

    def __init__(self, target_data: TargetData) -> None:
        self._target_data = target_data
        self._grower: Grower | None = None

    def __call__(self, before: SetProgress, final: Sequence[Arrays]) -> Judged:
        """After a round.

        Parameters
        ----------
        final : states of all islands
        """
        if before.exchanges:
            return self._by_information(before, final)
        return self._by_moments(before, final)

    def _by_moments(self, before: SetProgress, final: Sequence[Arrays]) -> Judged:
        options = before.run.set
        # Moving away, a crystal is wanted once; a set may hold the same one twice, if that fits the target.
        moving = options.bootstrap != "none"
        taken = sets.Known(one.structure for one in before.state.individuals) if moving else None
        candidates = _offered(final, options.offered, taken)
        cover = _cover(self._target_data) if options.coverage is not None else None
        grown, done = sets.extend_set(
            before.state, candidates, before.problem.objective, options, cover, smallest(before.problem)
        )
        new = grown.individuals[len(before.state.individuals) :]
        return Judged(new, len(new), before.added(new, grown), done or "")

    def _by_information(self, before: SetProgress, final: Sequence[Arrays]) -> Judged:
        options = before.run.set
        if self._grower is None:
            goal = make_goal(self._target_data.structures, self._target_data.basis.elements, options.information)
            self._grower = Grower(goal, before.given)
        members = before.state.individuals
        known = sets.Known(one.structure for one in members)
        offered = _offered(final, None, known)
        core = before.problem.objective.term_names.index("core")
        pool = sorted((one for one in offered if one.terms[core] <= _OVERLAP), key=lambda one: (one.content, one.uid))
        found = self._grower.grow(
            [one.structure for one in members],
            [one.structure for one in pool],
            options.accept,
            options.information.exchange,
            _fits(options),
        )
        told = (*(members[k] for k in found.members), *(pool[k] for k in found.added))
        after = before.exchanged(told, len(found.added))
        gone = len(members) - len(found.members)
        note = f"predicted variance {found.left_open:.4g} times what the whole target would leave"
        if gone:
            note += f", {counted(gone, 'structure')} exchanged"
        close = len(offered) - len(pool) + found.refused
        if close:
            note += f", {counted(close, 'candidate')} with atoms too close passed over"
        return Judged(told, len(found.added), after, self._why_done(after, found.left_open) or "", note)

    def _why_done(self, after: SetProgress, left_open: float) -> str | None:
        options = after.run.set
        if options.tolerance is not None and left_open <= options.tolerance:
            return f"predicted variance {left_open:.4g} is at or below the tolerance {options.tolerance:g}"
        done = sets.goal_reached(after.state, options)
        if done is None and after.accepted[-1] and options.coverage is not None:
            done = sets.coverage_reached(after.state, options, _cover(self._target_data))
        return done if done is not None else sets.given_up(after.state, options, smallest(after.problem))


def _offered(final: Sequence[Arrays], count: int | None, taken: sets.Known | None) -> list[Individual]:
    """What all islands offer, `count` each; None: all they have."""
    candidates: list[Individual] = []
    for arrays in final:
        state = IslandState.from_arrays(arrays)
        most = len(state.population) + len(state.archive) if count is None else count
        candidates += sets.offer(state.population, state.archive, most, taken)
    return candidates


def _fits(options: sets.SetOptions) -> Callable[[int, int], bool]:
    def fits(structures: int, atoms: int) -> bool:
        enough = options.count is not None and structures > options.count
        return not enough and (options.environments is None or atoms <= options.environments)

    return fits


def _cover(target_data: TargetData) -> Callable[[Sequence[Structure]], float]:
    from grs_evo.analysis.distributions.coverage import coverage
    from grs_evo.analysis.distributions.environments import of_structures, of_target

    target = of_target(target_data.target).wide(target_data.basis)

    def share(structures: Sequence[Structure]) -> float:
        return float(coverage(target, of_structures(structures, target_data.basis).wide(target_data.basis)).v_rep)

    return share
