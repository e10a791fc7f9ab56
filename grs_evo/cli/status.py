"""The state of a run, live or ended, from its folder alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grs_evo.storage.checkpoint import files
from grs_evo.storage.run_folder import Folder, existing, is_alive, owner_of
from grs_evo.text import duration, table_of

# What is shown of each island beside its strategy.
_ISLAND_NUMBERS = (
    "island",
    "best_value",
    "evaluations",
    "gradient_evaluations",
    "incremental",
    "accepted_migrants",
    "accepted_seeds",
    "diversity",
    "rejected",
)


def status(path: str | Path) -> dict[str, Any]:
    """What a run has come to, as plain values.

    Raises
    ------
    InputError
        The folder holds no run.
    """
    folder = existing(Path(path))
    found = _stored(folder)
    alive = is_alive(folder)
    if found["state"] == "running" and not alive:
        failed = folder.failures()
        why = f"an error ended it, see {', '.join(map(str, failed))}" if failed else "its processes are gone"
        found["state"], found["stop_reason"] = "interrupted", why
    if alive and found["state"] != "running":
        found["state"], found["stop_reason"] = "running", ""
    kept = files(folder.checkpoints)
    found["newest_checkpoint"] = kept[0].name if kept else None
    found["folder"] = str(folder.path)
    found["owner"] = {key: value for key, value in owner_of(folder).items() if key in ("host", "pid", "ranks", "since")}
    return dict(found)


# What status.json holds, as far as it is shown, before the first one is written.
_NOTHING: dict[str, Any] = {
    "state": "running",
    "stop_reason": "",
    "generation": -1,
    "evaluations": 0,
    "seconds": 0.0,
    "archive_size": 0,
    "archive_hash": "",
    "best": {},
    "islands": [],
    "round": 0,
    "set_size": 0,
}


def _stored(folder: Folder) -> dict[str, Any]:
    """The content of status.json; what a run has before it begins, where there is none or it is no status."""
    try:
        found = json.loads(folder.status.read_text())
    except (OSError, ValueError, RecursionError):
        return dict(_NOTHING)
    return found if isinstance(found, dict) and _is_status(found) else dict(_NOTHING)


def _is_status(found: dict[str, Any]) -> bool:
    """Whether everything that is shown is there, and of its kind."""
    for name, usual in _NOTHING.items():
        kind = int | float if isinstance(usual, int | float) else type(usual)
        if not isinstance(found.get(name), kind):
            return False
    islands = found["islands"]
    return (
        _has_numbers(found.get("checkpoints", {"saved": 0, "share": 0.0}), ("saved", "share"))
        and _has_numbers(found["best"], found["best"])
        and all(_has_numbers(one, _ISLAND_NUMBERS) and isinstance(one.get("strategy"), str) for one in islands)
    )


def _has_numbers(part: Any, names: Iterable[str]) -> bool:
    return isinstance(part, dict) and all(isinstance(part.get(name), int | float) for name in names)


def text_of(found: dict[str, Any]) -> str:
    """The state for people."""
    state = found["state"] + (f" ({found['stop_reason']})" if found["stop_reason"] else "")
    total = found.get("generations")
    lines = [
        f"{found['folder']}: {state}",
        f"generation   {found['generation']}{'' if total is None else f' of {total}'}"
        + (f", round {found['round']}, {found['set_size']} structures in the set" if found.get("set_size") else ""),
        f"evaluations  {found['evaluations']}",
        f"time         {duration(found['seconds'])}",
        f"archive      {found['archive_size']} structures, hash {found['archive_hash'] or '-'}",
        f"checkpoint   {found['newest_checkpoint'] or '-'}",
    ]
    saved = found.get("checkpoints")
    if saved:
        lines[-1] += f" ({saved['saved']} saved this session, {100 * saved['share']:.2f} % of its time)"
    lines += [f"{name:<12} {value:.6g}" for name, value in found["best"].items()]
    if found["islands"]:
        heads = ["island", "strategy", "best", "evaluations", "migrants", "seeds", "diversity", "rejected"]
        rows = []
        for one in found["islands"]:
            evaluations = one["evaluations"] + one["gradient_evaluations"] + one["incremental"]
            rows.append(
                [
                    str(one["island"]),
                    one["strategy"],
                    f"{one['best_value']:.6g}",
                    str(evaluations),
                    str(one["accepted_migrants"]),
                    str(one["accepted_seeds"]),
                    f"{one['diversity']:.2f}",
                    str(one["rejected"]),
                ]
            )
        lines += ["", table_of(rows, heads)]
    return "\n".join(lines)
