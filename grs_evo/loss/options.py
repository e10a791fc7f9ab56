"""What is compared with the target, with which weights (eqs. 13-16)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from grs_evo.options import Options


class CoreOptions(Options):
    """Repulsion at short distance: smooth, and exactly zero beyond its range."""

    kind: Literal["polynomial", "zbl", "none"] = Field(
        "polynomial", description="polynomial: strength·((R − r)/(R − d))³ below R; zbl: screened nuclear repulsion [–]"
    )
    fraction: float = Field(
        0.65, gt=0, le=2, description="core distance d as a share of the sum of the two covalent radii [1]"
    )
    width: float = Field(0.08, gt=0, le=1, description="the repulsion begins at R = (1 + width)·d [1]")
    strength: float = Field(
        10.0, ge=0, description="V_core of a pair at d, in units of the loss times atoms; for zbl: per eV [1]"
    )
    distances: dict[str, float] = Field(
        default_factory=dict, description='core distances that replace the default, e.g. {"Ta-Ta" = 2.3} [Å]'
    )


class LossOptions(Options):
    """What is compared with the target, and how (eqs. 13–16)."""

    mean: float = Field(1.0, description="weight of the means' mismatch; negative moves away from the target [1]")
    variance: float = Field(1.0, description="weight of the variances' mismatch [1]")
    skewness: float = Field(0.0, description="weight of the skewnesses' mismatch [1]")
    kurtosis: float = Field(0.0, description="weight of the kurtoses' mismatch [1]")
    covariance: float = Field(0.0, description="weight of the full covariances' mismatch [1]")
    norm: Literal["l1", "l2", "huber"] = Field(
        "l1", description="mean |x|, root mean square, or mean pseudo-Huber √(x² + δ²) − δ over functions [–]"
    )
    delta: float = Field(0.02, gt=0, description="δ of the pseudo-Huber norm, in scaled units [1]")
    scale: Literal["none", "target", "reference", "whitened"] = Field(
        "target",
        description="what differences are divided by: nothing, the target's spread, the spread over random reference"
        " structures, or that and its principal axes [–]",
    )
    scale_floor: float = Field(
        0.01, gt=0, le=1, description="smallest scale of a function, as a share of its root mean square [1]"
    )
    distribution: Literal["pooled", "per_element"] = Field(
        "pooled", description="one distribution over all atoms, or one per central element [–]"
    )
    w_structure: float = Field(1.0, description="w_1: weight of the structure loss, negative to move away [1]")
    w_set: float = Field(0.0, description="w_2: weight of the set loss, negative to move away [1]")
    w_entropy: float = Field(0.0, description="weight of minus the entropy of the environments; > 0 spreads them [1]")
    entropy_softness: float = Field(
        1e-4, gt=0, description="squared scaled distance below which environments count as one [1]"
    )
    reward: float = Field(0.0, ge=0, description="taken off the value times the share of matched functions [1]")
    tolerance: float = Field(1e-3, gt=0, description="scaled difference below which a function is matched [1]")
    core: CoreOptions = Field(default_factory=CoreOptions, description="repulsion at short distance")
    terms: dict[str, float | dict[str, Any]] = Field(
        default_factory=dict,
        description="further terms by name, or module:variable from outside the package: weight, or a table of it and"
        " the term's own options [1]",
        # Not written where there are none: files of runs without further terms stay as they are.
        json_schema_extra={"written": "when given"},
    )

    @property
    def compares(self) -> bool:
        """Whether one structure can be better than another by more than its core."""
        moments = (self.mean, self.variance, self.skewness, self.kurtosis, self.covariance)
        further = any(
            one != 0 if not isinstance(one, dict) else one.get("weight", 1.0) != 0 for one in self.terms.values()
        )
        return (any(moments) and (self.w_structure != 0 or self.w_set != 0)) or self.w_entropy != 0 or further
