"""The state of a run as one line of eighty characters, and as the panel that is redrawn."""

from __future__ import annotations

from typing import Any

from grs_evo.text import duration


def line_of(facts: dict[str, Any]) -> str:
    """One line about the state of a run."""
    speed = f", {facts['rate']:.0f}/s" if facts["rate"] > 0 else ""  # unknown before the second look
    left = facts.get("seconds_left")
    rest = f", {duration(left)} left" if left is not None else ""
    return f"{_where(facts)}: best {facts['best']:.5g}, {facts['evaluations']} evaluations{speed}{rest}"


def tick_of(facts: dict[str, Any]) -> str:
    """One line while a generation is being made."""
    made = f"{facts['structures']} structures" if facts["structures"] else ""
    best = f"best {facts['best']:.6g}" if facts.get("best") is not None else ""
    now = ", ".join(part for part in (made, best, duration(facts["seconds"])) if part)
    if facts["generation"] < 0:
        return f"{_round(facts)}first generation: {now}"
    return f"{_where(facts)} done, at the next: {now}"


def _where(facts: dict[str, Any]) -> str:
    return f"{_round(facts)}generation {facts['generation']}{of(facts.get('generations'))}"


def _round(facts: dict[str, Any]) -> str:
    return f"round {facts['round']}, " if facts.get("rounds", 0) else ""


def of(total: int | None) -> str:
    return "" if total is None else f"/{total}"


def panel_of(facts: dict[str, Any]) -> Any:
    """The live display."""
    from rich.panel import Panel
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim")
    table.add_column()
    for name, value in _rows(facts):
        table.add_row(name, value)
    return Panel(table, title=str(facts["folder"]), title_align="left", expand=False)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    begun = facts["generation"] >= 0
    rows = []
    if facts.get("rounds", 0):
        rows.append(
            ("round", f"{facts['round']} of {facts['rounds']}, {facts.get('set_size', 0)} structures in the set")
        )
    rows.append(("generation", f"{facts['generation']}{of(facts.get('generations'))}" if begun else "the first one"))
    if facts["structures"] or not begun:  # of walks on a lattice none is counted
        rows.append(("structures", f"{facts['structures']} on this rank"))
    if begun:
        rows.append(("evaluations", f"{facts['evaluations']} ({facts['rate']:.0f} per second)"))
    if facts.get("best") is not None:
        rows.append(("best", f"{facts['best']:.6g}"))
    rows += [(name, f"{value:.6g}") for name, value in facts.get("best_terms", {}).items()]
    beside = facts.get("beside", {})
    if beside.get("floor") is not None:
        rows.append(("floor", f"{beside['floor']:.3g}"))
    if beside.get("kept_out"):
        rows.append(("kept out", f"{beside['kept_out']['loss']:.6g}"))
    if begun:
        rows.append(("diversity", f"{facts['diversity']:.2f}"))
        rows.append(("migrants", f"{facts['accepted_migrants']} accepted"))
    rows.append(("time", duration(facts["seconds"])))
    if facts.get("seconds_left") is not None:
        rows.append(("left", f"about {duration(facts['seconds_left'])}"))
    return rows
