"""A search as a calculation of AiiDA, with its provenance: verdi presto; python aiida_search.py FOLDER

FOLDER holds run.toml and the target's files. `submit=True` hands it to the daemon, a `computer`, `resources` and
`withmpi` in `metadata={"options": …}` to a cluster.
"""

import shutil
import sys
from pathlib import Path

from aiida import load_profile
from aiida.orm import SinglefileData
from aiida_shell import launch_shell_job

load_profile()
folder = Path(sys.argv[1]).resolve()
inputs = [path for path in sorted(folder.iterdir()) if path.is_file()]
nodes = {f"file_{k}": SinglefileData(path) for k, path in enumerate(inputs)}
results, node = launch_shell_job(
    shutil.which("grs-evo"),  # AiiDA asks a login shell, which may not know this environment
    arguments=["run", "run.toml", "--out", "out", "--quiet"],
    nodes=nodes,
    filenames={key: path.name for key, path in zip(nodes, inputs, strict=True)},
    outputs=["out"],
)
print(f"{node.process_label} {node.pk}: {node.exit_status}, run folder in node {results['out'].pk}")
