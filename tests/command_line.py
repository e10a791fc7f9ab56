"""The command line in this process: exit code and what it said, as from a process of its own.

A process begins with a second of imports. What ends one from outside, and how it starts, is tested with processes.
"""

from __future__ import annotations

import io
import os
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from grs_evo.cli.commands import main


def call(*arguments: object, cwd: Path) -> tuple[int, str]:
    """Exit code, and both streams together; they take what those of a program take.

    Parameters
    ----------
    arguments : words of the command; bytes are names that are no text
    """
    said = io.BytesIO()
    out = io.TextIOWrapper(said, "utf-8", "strict", write_through=True)
    error = io.TextIOWrapper(said, "utf-8", "backslashreplace", write_through=True)
    words = [os.fsdecode(one) if isinstance(one, bytes) else str(one) for one in arguments]
    with chdir(cwd), redirect_stdout(out), redirect_stderr(error), warnings.catch_warnings():
        warnings.simplefilter("default")  # tests make errors of them
        with pytest.raises(SystemExit) as end:
            main(words)
    code = end.value.code
    return code if isinstance(code, int) else int(code is not None), said.getvalue().decode()
