"""Damaged run files by the thousand, each checked and run as from the command line: answered in a line, or run.

``python tests/run_files.py 5000 7`` tries 5,000 files with seed 7. Each is tried in a process forked for it, so that
nothing is imported or compiled twice, with a limit of time and of memory.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import small

import grs_evo
from grs_evo.cli import commands

_SHORT = small.LATTICE.replace("generations = 12", "generations = 2")
SET = _SHORT + "[set]\ncount = 3\nrounds = 3\n"
ALLOY = """
[target.alloy]
composition = { Cu = 0.75, Au = 0.25 }
lattice = "fcc"
a = 3.75
[basis]
n_max = [3, 1]
l_max = [0, 1]
cutoff = 4.0
[candidates]
kind = "lattice"
lattice = "fcc"
a = 3.75
repeat = [2, 1, 1]
fractions = { Cu = 0.75, Au = 0.25 }
[search.operators]
weights = { swap = 2.0 }
[stop]
generations = 2
"""
SOUND = (_SHORT, small.RELAXED, SET, ALLOY)

# s and bytes that a file may take; a sound one takes a fraction of one second
PATIENCE = 60
_MOST_MEMORY = 4 << 30
# what a user must never be shown
_INNER = re.compile(r"Traceback|[A-Z][A-Za-z]*Error\b|NoneType|object has no|out of range|Segmentation")
_CODES = {0, 2, 3}

VALUES = (
    *("0", "-1", "1", "7", "2", "1e300", "-1e300", "1e-300", "nan", "inf", "-inf", "9223372036854775808", "0.5", "1e9"),
    *("true", "false", '""', '"x"', '"Cu"', '"target"', '"../.."', '"."', '"/dev/null"', '"/dev/zero"', '"\\u0000"'),
    *("[]", "[1]", "[1, 2, 3]", '["Cu"]', '[["Cu"]]', "[-1, 2]", "[1e300, 1e300]", "[nan, 1]", "{}", "{ Cu = 1 }"),
    *(
        "{ Cu = -1.0 }",
        '{ "Cu-Au" = 1e4 }',
        "2026-11-28",
        "[[]]",
        "[0, 0]",
        "[9223372036854775808]",
        "[2, 1]",
        "1000000",
    ),
    *(
        '"' + "n" * 300 + '"',
        "[" + "1, " * 3000 + "1]",
        "0x7fffffff",
        '"µ"',
        '"\U0001f600"',
        '["target.xyz", "target.xyz"]',
    ),
)


def _lines(rng: random.Random, text: str, wanted: Callable[[str], bool]) -> tuple[list[str], int]:
    lines = text.split("\n")
    return lines, rng.choice([i for i, line in enumerate(lines) if wanted(line)])


def _is_key(line: str) -> bool:
    return " = " in line


def other_value(rng: random.Random, text: str) -> str:
    lines, at = _lines(rng, text, _is_key)
    lines[at] = f"{lines[at].split(' = ')[0]} = {rng.choice(VALUES)}"
    return "\n".join(lines)


def other_number(rng: random.Random, text: str) -> str:
    numbers = list(re.finditer(r"(?<![\w.])\d+(\.\d+)?", text))
    found = rng.choice(numbers)
    new = rng.choice(["0", "-" + found[0], found[0] + "0", found[0] + "000000", found[0] + ".5", "1e-9", "nan"])
    return text[: found.start()] + new + text[found.end() :]


def misspelt(rng: random.Random, text: str) -> str:
    words = list(re.finditer(r"[A-Za-z_]{3,}", text))
    found = rng.choice(words)
    word, at = found[0], rng.randrange(len(found[0]))
    new = rng.choice([word[:at] + word[at + 1 :], word[:at] + rng.choice("aeXz_") + word[at:], word.upper(), word * 40])
    return text[: found.start()] + new + text[found.end() :]


def no_line(rng: random.Random, text: str) -> str:
    lines, at = _lines(rng, text, bool)
    return "\n".join(lines[:at] + lines[at + 1 :])


def line_twice(rng: random.Random, text: str) -> str:
    lines, at = _lines(rng, text, bool)
    lines.insert(rng.randrange(len(lines)), lines[at])
    return "\n".join(lines)


def no_section(rng: random.Random, text: str) -> str:
    lines, at = _lines(rng, text, lambda line: line.startswith("["))
    end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith("[")), len(lines))
    return "\n".join(lines[:at] + lines[end:])


def two_files(rng: random.Random, text: str) -> str:
    """Sections of another sound file appended, in part the same ones."""
    return text + rng.choice(SOUND)


def bytes_changed(rng: random.Random, text: str) -> str:
    # one that is not UTF-8 is written as it is: see `written`
    changed = list(text)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(len(changed))] = rng.choice('"[]{}=#.\n\t\r,\\\x00\x07é\udcff ')
    return "".join(changed)


def cut(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(len(text))]


def dotted(rng: random.Random, text: str) -> str:
    lines, at = _lines(rng, text, _is_key)
    key, value = lines[at].split(" = ", 1)
    lines[at] = rng.choice([f"{'.'.join([key] * 3000)} = {value}", f"{key}.{key} = {value}", f'"{key}" = {value}'])
    return "\n".join(lines)


def key_elsewhere(rng: random.Random, text: str) -> str:
    lines, at = _lines(rng, text, _is_key)
    line = lines.pop(at)
    lines.insert(rng.randrange(len(lines)), line)
    return "\n".join(lines)


MUTATIONS = (
    *(other_value, other_value, other_value, other_number, other_number, misspelt, misspelt),
    *(no_line, line_twice, no_section, two_files, bytes_changed, cut, dotted, key_elsewhere),
)


def tried(count: int, seed: int) -> dict[str, int]:
    """Counts of what became of mutated files, from a process that forks one for each."""
    done = subprocess.run(
        [sys.executable, __file__, str(count), str(seed)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stdout)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _answer(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and messages of a command in a process of its own; -1 where it does not end in time."""
    said = folder / "said"
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        signal.alarm(PATIENCE)  # ends the process, whatever it does
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(out, stream)
        os.chdir(folder)
        code = 1
        try:
            sys.argv = ["grs-evo", *arguments]
            commands.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")


def fault(text: str, folder: Path) -> tuple[str, str]:
    """What became of a run file (refused, run, short) or, after "wrong", what is wrong with the answer."""
    (folder / "target.xyz").write_text(small.TARGET)
    (folder / "case.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    # ends that mutations took away come back on the command line
    codes = []
    for arguments in (["check", "case.toml"], ["run", "case.toml", "--out", "out", "--quiet", "--max-time", "5s"]):
        begun = time.monotonic()
        code, said = _answer(arguments, folder)
        told = f"{arguments[0]} ended with {code} after {time.monotonic() - begun:.1f} s: {said[-1500:]}"
        errors = re.findall(r"^grs-evo: (?!warning)", said, re.MULTILINE)
        if code not in (_CODES | {75} if arguments[0] == "run" else {0, 2}) or _INNER.search(said):
            return "wrong", told
        if code == 2 and (not said.strip() or len(said) > 4000 or len(errors) > 1):
            return "wrong", told
        codes.append(code)
        if code:
            break
    if codes[-1] == 2:
        return ("refused" if len(codes) == 1 else "refused by run"), told
    return {0: "run", 3: "short", 75: "stopped"}[codes[-1]], told


def _load(text: str, folder: Path) -> None:
    """Run a sound file here, so that the processes forked later have all modules and kernels."""
    folder.mkdir()
    grs_evo.run(small.write(folder, text), quiet=True)


def main(count: int, seed: int) -> int:
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        for number, text in enumerate(SOUND):
            _load(text, Path(place) / f"loaded-{number}")
            folder = Path(place) / f"sound-{number}"
            folder.mkdir()
            kind, told = fault(text, folder)
            if kind not in ("run", "short"):
                print(f"sound file {number} is not run: {told}")
                return 1
        for number in range(count):
            text = rng.choice(SOUND)
            mutations = [rng.choice(MUTATIONS) for _ in range(rng.choice([1, 1, 2]))]
            for mutation in mutations:
                text = mutation(rng, text) if len(text) > 40 else text
            folder = Path(place) / str(number)
            folder.mkdir()
            kind, told = fault(text, folder)
            counts[kind] += 1
            if kind == "wrong":
                names = ", ".join(one.__name__ for one in mutations)
                print(f"file {number} of seed {seed}, {names}: {told}\n--- \n{text[:3000]}\n---", flush=True)
            subprocess.run(["rm", "-rf", str(folder)], check=True)
    print(json.dumps(counts))
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
