"""The state of a run, live or ended, from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grs_evo.files import is_there
from grs_evo.storage.checkpoint import files
from grs_evo.storage.run_folder import existing, is_alive, json_table, owner_of
from grs_evo.text import duration, table_of

# status.json before there is one
_NEW: dict[str, Any] = {
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
# numbers of an island in it that are shown
_ROW = (
    "island",
    "evaluations",
    "gradient_evaluations",
    "incremental",
    "best_value",
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
    found = _known(json_table(folder.status))
    alive = is_alive(folder)
    if found["state"] == "running" and not alive:
        failed = folder.failures()
        why = f"an error ended it, see {', '.join(map(str, failed))}" if failed else "its processes are gone"
        found["state"], found["stop_reason"] = "interrupted", why
        if not failed and not is_there(folder.status) and owner_of(folder).get("ended"):
            found["state"], found["stop_reason"] = "stopped", "in set-up"
    if alive and found["state"] != "running":
        found["state"], found["stop_reason"], found["quality"] = "running", "", None
    kept = files(folder.checkpoints)
    found["newest_checkpoint"] = kept[0].name if kept else None
    found["folder"] = str(folder.path)
    found["owner"] = {key: value for key, value in owner_of(folder).items() if key in ("host", "pid", "ranks", "since")}
    return dict(found)


def _known(found: dict[str, Any]) -> dict[str, Any]:
    """What status.json says, as far as it is what a run writes; what is not is as before the first generation."""
    known = {name: found[name] if isinstance(found.get(name), type(value)) else value for name, value in _NEW.items()}
    if isinstance(found.get("seconds"), int):
        known["seconds"] = float(found["seconds"])
    if not all(_is_number(value) for value in known["best"].values()):
        known["best"] = {}
    if not all(
        isinstance(row, dict)
        and isinstance(row.get("strategy"), str)
        and all(_is_number(row.get(name)) for name in _ROW)
        for row in known["islands"]
    ):
        known["islands"] = []
    others = {name: value for name, value in found.items() if name not in known}
    judged = others.get("quality")
    others["quality"] = judged if isinstance(judged, dict) and isinstance(judged.get("line"), str) else None
    saved = others.get("checkpoints")
    if not (isinstance(saved, dict) and _is_number(saved.get("saved")) and _is_number(saved.get("share"))):
        others.pop("checkpoints", None)
    return {**others, **known}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _generation(found: dict[str, Any], total: int | None) -> str:
    if found["generation"] >= 0:
        return f"generation   {found['generation']}{'' if total is None else f' of {total}'}"
    if found["state"] != "running":
        return "generation   none was completed"
    made = found.get("structures")
    return f"generation   the first one, {made} structures on rank 0" if _is_number(made) else "generation   none yet"


def text_of(found: dict[str, Any]) -> str:
    """The state for people."""
    state = found["state"] + (f" ({found['stop_reason']})" if found["stop_reason"] else "")
    total = found.get("generations")
    lines = [
        f"{found['folder']}: {state}",
        _generation(found, total)
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
    beside = found.get("kept_out")
    if isinstance(beside, dict) and isinstance(beside.get("line"), str):
        lines.append(f"kept out     {beside['line']}")
    if found["quality"]:
        lines.append(f"quality      {found['quality']['line']}")
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
