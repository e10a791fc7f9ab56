"""Archives of several runs into one: the Pareto front of all of them, without duplicates.

The runs must have the same elements, basis, target, loss and objectives, else their values cannot be compared.

Examples:
    grs-evo run runs/cu3au-l12/run.toml --seed 13 --out out-cu3au-13
    python tools/merge.py out-cu3au out-cu3au-13 -o all.h5
    grs-evo report all.h5 -o all.html
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import arguments

from grs_evo.analysis import merge_archives, sources
from grs_evo.errors import InputError
from grs_evo.storage.archive_file import write_archive


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("archives", nargs="+", help="run folders or archives")
    parser.add_argument(
        "--size",
        type=arguments.whole(2, 100_000),
        default=1000,
        help="largest number on the front (default: %(default)s)",
    )
    given = parser.parse_args(argv)
    out = Path(given.out or "merged.h5")
    if out.suffix not in (".h5", ".hdf5"):
        out = out.with_name(out.name + ".h5")
    if not out.parent.is_dir():
        raise InputError(f"{out}: cannot be written, {out.parent} is no folder")
    paths = [sources.split_name(source)[1] for source in given.archives]
    merged = merge_archives([sources.archive(path) for path in paths], paths, size=given.size)
    write_archive(out, merged)
    lowest = min((one.value for one in merged.individuals), default=float("nan"))
    print(f"{len(paths)} archives, {len(merged.individuals)} structures kept, lowest loss {lowest:.6g}")
    arguments.tell([out])


if __name__ == "__main__":
    sys.exit(arguments.run(main))
