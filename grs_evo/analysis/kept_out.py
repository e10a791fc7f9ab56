"""What was found against the part of a target that the search did not see: the loss, in its scales, and observables.

The parts of a target differ from each other, by `apart`. What is as near to the frames kept out as the frames seen are
could not be nearer, however low its own loss is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from grs_evo.analysis.quality import Judgement, judge, reference_of, untold
from grs_evo.errors import InputError
from grs_evo.loss.objective import Objective
from grs_evo.loss.quality import structure_loss, without_extras
from grs_evo.observables import Reference
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target
from grs_evo.text import counted

_SUBJECT = "best structure"


@dataclass(frozen=True, eq=False)
class KeptOut:
    """Frames, or environments of one structure, that a search does not see.

    Parameters
    ----------
    objective : of the search
    target : the frames, with their structures
    """

    objective: Objective
    target: Target

    @cached_property
    def _against(self) -> Objective:
        """The structure loss against these frames alone."""
        return without_extras(self.objective).with_target(self.target, keep_scales=True)

    @cached_property
    def apart(self) -> float:
        """Loss of these frames against those that the search sees."""
        bare = without_extras(self.objective)
        found = bare.moments_loss(self.target.moments)
        return structure_loss(found.terms, bare.term_names)

    @cached_property
    def _reference(self) -> Reference | None:
        return reference_of(self.target, self.objective.basis.elements)

    @property
    def name(self) -> str:
        """What they are called."""
        if self.target.centres:
            return f"the {counted(len(self.target.centres[0]), 'environment')} kept out"
        return f"the {counted(len(self.target.n_atoms), 'frame')} kept out"

    def loss(self, structure: Structure) -> float:
        """The structure loss against these frames; NaN where it cannot be evaluated."""
        found = self._against.evaluate(structure)
        return structure_loss(found.terms, self._against.term_names) if found.ok else float("nan")

    def judged(self, structure: Structure) -> Judgement:
        """How it compares with these frames by the observables."""
        try:
            reference = self._reference
            if reference is None:
                return untold(_SUBJECT, "the frames kept out came without structures")
            return judge([structure], reference, "")
        except InputError as error:
            return untold("", error)

    def found(self, structure: Structure, seen: float) -> dict[str, Any]:
        """What status.json tells: losses, the grade, and all in a line.

        Parameters
        ----------
        seen : the structure's loss against the frames that the search sees
        """
        loss, judgement = self.loss(structure), self.judged(structure)
        line = (
            f"against {self.name} the best structure's loss is {loss:.3g}, against those the search sees {seen:.3g}, "
            f"and the two parts of the target differ by {self.apart:.3g}; by them it {_verb(judgement.line)}"
        )
        grade = judgement.quality.grade if judgement.quality is not None else None
        return {"loss": loss, "seen": seen, "apart": self.apart, "grade": grade, "line": line}


def _verb(line: str) -> str:
    """A judgement as the end of a sentence."""
    return f"is {line}" if line.startswith(("as good", "not ")) else line


def kept_out_of(objective: Objective, target: Target | None) -> KeptOut | None:
    """The frames kept out, where there are some and the search looks at structures one by one."""
    if target is None or "structure" not in objective.term_names:
        return None
    return KeptOut(objective, target)
