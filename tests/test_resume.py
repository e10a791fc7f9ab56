"""A run stopped anywhere and gone on with gives the archive of the run that was not."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import small

from grs_evo.cli.status import status
from grs_evo.driver.config.run_file import read
from grs_evo.driver.recorder import Recorder
from grs_evo.driver.session import resume, run
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.errors import InputError, StorageError
from grs_evo.storage import checkpoint
from grs_evo.storage.archive_file import read_archive
from grs_evo.storage.hdf5 import Damaged


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    result = run(small.write(folder), quiet=True)
    assert result.finished
    assert result.reason == "generations"
    return result.folder


@pytest.fixture
def halting(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Runs stop by themselves once they have judged the generation in `at`."""
    setting = {"at": -2}

    def halt_reason(self: Recorder, heard: str) -> str:
        if self._decision.generation >= setting["at"] > -2:
            self.halted = "test"
        return self.halted

    monkeypatch.setattr(Recorder, "halt_reason", halt_reason)
    return setting


def _hash(folder: Path) -> str:
    return read_archive(folder).archive_hash


def test_every_stop_point_gives_one_archive(whole: Path, halting: dict[str, int], tmp_path: Path) -> None:
    case = small.write(tmp_path)
    for at in range(12):
        halting["at"] = at
        out = tmp_path / f"stop{at}"
        stopped = run(case, out, quiet=True)
        assert not stopped.finished
        assert stopped.exit_code == 75
        halting["at"] = -2
        resumed = resume(out, quiet=True)
        assert resumed.finished
        assert resumed.archive_hash == _hash(whole)
        history, expected = read_archive(out).history, read_archive(whole).history
        for name in expected:
            np.testing.assert_array_equal(history[name], expected[name])


def test_stopped_in_every_generation(whole: Path, halting: dict[str, int], tmp_path: Path) -> None:
    """Twelve sessions of one generation each."""
    case = small.write(tmp_path)
    halting["at"] = 0
    result = run(case, quiet=True)
    for at in range(1, 20):
        if result.finished:
            break
        halting["at"] = at
        result = resume(result.folder, quiet=True)
    assert result.finished
    assert result.archive_hash == _hash(whole)


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_relaxation_resumes(halting: dict[str, int], tmp_path: Path, precision: str) -> None:
    case = small.write(tmp_path, small.RELAXED.replace("[relax]", f'[relax]\nprecision = "{precision}"'))
    expected = run(case, tmp_path / "whole", quiet=True).archive_hash
    halting["at"] = 2
    stopped = run(case, tmp_path / "stopped", quiet=True)
    halting["at"] = -2
    assert resume(stopped.folder, quiet=True).archive_hash == expected
    if precision == "mixed":  # what is kept has the values of double precision, to the last bit
        found = read_archive(stopped.folder)
        given = read(stopped.folder / "run.toml")
        problem = make_problem(given, make_target_data(given, stopped.folder), stopped.folder)
        assert len(found) > 3
        for one in found.individuals:
            again = problem.objective.evaluate(one.structure)
            assert (one.value, one.terms.tobytes()) == (again.value, again.terms.tobytes())


def test_extended_is_as_long_from_the_start(whole: Path, tmp_path: Path) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("generations = 12", "generations = 3"))
    short = run(case, quiet=True)
    assert short.reason == "generations"
    assert short.archive_hash != _hash(whole)
    assert resume(short.folder, quiet=True).generation == 3
    longer = resume(short.folder, extend=["stop.generations=12"], quiet=True)
    assert (longer.generation, longer.archive_hash) == (12, _hash(whole))
    assert resume(short.folder, quiet=True).generation == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("seed=8", ("cannot change", "stop.generations")),
        ("stop.generation=8", ("stop.generation", "did you mean")),
        ("stop.generations", ("key=value",)),
        ("stop.generations=-1", ("-1", "greater")),
    ],
)
def test_extend_refuses_what_is_not_safe(whole: Path, tmp_path: Path, change: str, words: tuple[str, ...]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    with pytest.raises(InputError) as error:
        resume(copy, extend=[change], quiet=True)
    assert all(word in str(error.value) for word in words)
    assert (copy / "run.toml").read_text() == (whole / "run.toml").read_text()


def test_a_changed_run_file_is_refused_with_the_difference(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    text = (copy / "run.toml").read_text()
    (copy / "run.toml").write_text(text.replace("population = 6", "population = 9", 1))
    with pytest.raises(InputError, match=r"search\.population: 6 before, 9 now"):
        resume(copy, quiet=True)


def test_another_target_is_refused(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    other = small.write(tmp_path, small.LATTICE.replace("generations = 12", "generations = 0"))
    (tmp_path / "target.xyz").write_text(small.TARGET.replace("Cu 1.875 1.875 0.0", "Au 1.875 1.875 0.0"))
    shutil.copy(run(other, quiet=True).folder / "target.h5", copy / "target.h5")
    (copy / "contents.json").unlink()  # as in folders of earlier versions, where the checkpoint alone tells
    with pytest.raises(InputError, match="target is not that of the checkpoint"):
        resume(copy, quiet=True)


def test_a_resume_that_adds_nothing_forgets_nothing(whole: Path, tmp_path: Path) -> None:
    finished = shutil.copytree(whole, tmp_path / "finished")
    before = status(finished)
    result = resume(finished, quiet=True)
    after = status(finished)
    assert result.finished
    assert result.archive_hash == before["archive_hash"]
    for name in (
        "state",
        "stop_reason",
        "generation",
        "evaluations",
        "best",
        "islands",
        "archive_size",
        "archive_hash",
    ):
        assert after[name] == before[name], name
    assert "finished already (generations)" in (finished / "log.txt").read_text()
    # the time goes into set-up alone
    resume(finished, extend="stop.generations=20", max_time=1e-3, quiet=True)
    stopped = status(finished)
    assert (stopped["state"], stopped["generation"]) == ("stopped", before["generation"])
    assert (stopped["evaluations"], stopped["islands"]) == (before["evaluations"], before["islands"])


def test_folders_above_the_run_folder_are_made(tmp_path: Path) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("generations = 12", "generations = 0"))
    assert run(case, tmp_path / "a" / "b" / "out", quiet=True).finished
    assert (tmp_path / "a" / "b" / "out" / "archive.h5").exists()


def test_a_full_folder_is_not_run_into(whole: Path, tmp_path: Path) -> None:
    case = small.write(tmp_path)
    with pytest.raises(InputError, match="grs-evo resume"):
        run(case, whole, quiet=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "something").touch()
    with pytest.raises(InputError, match="not empty"):
        run(case, tmp_path / "other", quiet=True)


def test_no_checkpoint_yet_begins_anew(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    for path in (copy / "checkpoints").iterdir():
        path.unlink()
    assert resume(copy, quiet=True).archive_hash == _hash(whole)


def test_seeds_enter_once_and_a_resume_repeats_them(
    whole: Path, halting: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grs_evo.driver.recorder._LOOK", 0.0)
    case = small.write(tmp_path, small.LATTICE.replace("repeat = [2, 1, 1]", "repeat = [1, 1, 1]"))
    halting["at"] = 3
    stopped = run(case, quiet=True)
    (stopped.folder / "seeds" / "broken.xyz").write_text("no structure\n")
    shutil.copy(tmp_path / "target.xyz", stopped.folder / "seeds" / "found.xyz")
    halting["at"] = 8
    resume(stopped.folder, quiet=True)
    taken = [path.name for path in (stopped.folder / "seeds" / "taken").iterdir()]
    assert len(taken) == 1
    assert (stopped.folder / "seeds" / "refused" / "broken.xyz").exists()
    assert "seeds: 1 of 1 structure of found.xyz enter at generation" in (stopped.folder / "log.txt").read_text()
    early = tmp_path / "early"
    shutil.copytree(stopped.folder, early)
    halting["at"] = -2
    expected = resume(stopped.folder, quiet=True)
    history = read_archive(stopped.folder).history
    assert history["accepted_seeds"].max() == 1
    # an older checkpoint, from before the seed entered, comes to the same
    for path in checkpoint.files(early / "checkpoints")[:-1]:
        path.unlink()
    assert resume(early, quiet=True).archive_hash == expected.archive_hash
    assert any(one.operator == "seed" for one in expected.archive)


@pytest.mark.parametrize("rule", ["moments", "information"])
def test_sets_resume_between_and_within_rounds(halting: dict[str, int], tmp_path: Path, rule: str) -> None:
    text = small.LATTICE.replace("generations = 12", "generations = 3").replace("variance = 0.5", "w_set = 0.5")
    text = text.replace('"none"', '"reference"') if rule == "moments" else text
    case = small.write(tmp_path, text, f'[set]\nobjective = "{rule}"\nrounds = 3\naccept = 2\npatience = 3\n')
    whole = run(case, tmp_path / "whole", quiet=True)
    expected = read_archive(whole.folder)
    assert len(expected.set) > 1
    assert set(expected.history["round"]) == {0, 1, 2}
    for at in (0, 2):
        halting["at"] = at
        result = run(case, tmp_path / f"stop{at}", quiet=True)
        for _ in range(8):
            if result.finished:
                break
            if result.generation >= 3:
                halting["at"] = -2
            result = resume(result.folder, quiet=True)
            halting["at"] = -2
        found = read_archive(result.folder)
        assert [one.content for one in found.set] == [one.content for one in expected.set]
        assert found.archive_hash == expected.archive_hash


# ---------------------------------------------------------------------------------------------------------------------
# damaged files


def _variants(data: bytes) -> list[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    made = [(f"cut at {k}", data[:k]) for k in (0, 1, 100, 511, 512, 513, 2000, len(data) // 2, len(data) - 1)]
    made += [(f"cut at {k}", data[:k]) for k in rng.integers(0, len(data), 21)]
    for _ in range(40):
        at, bit = int(rng.integers(len(data))), int(rng.integers(8))
        made.append((f"bit {bit} of byte {at}", data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]))
    for _ in range(25):
        at, n = int(rng.integers(len(data))), int(rng.integers(1, 5000))
        gap = data[at : at + n]
        if any(gap):
            made.append((f"{len(gap)} bytes zeroed at {at}", data[:at] + bytes(len(gap)) + data[at + len(gap) :]))
    made += [
        ("longer", data + b"\0"),
        ("twice", data + data),
        ("all zero", bytes(len(data))),
        ("text", b"hello\n" * 99),
    ]
    made += [("shifted", b"\0" + data), ("without seal", data[512:]), ("seal twice", data[:512] + data)]
    return made


def test_damaged_checkpoints_are_noticed(whole: Path) -> None:
    data = checkpoint.files(whole / "checkpoints")[0].read_bytes()
    variants = _variants(data)
    assert len(variants) >= 100
    assert checkpoint.Checkpoint.from_bytes(data).generation == 12
    for what, broken in variants:
        try:
            checkpoint.Checkpoint.from_bytes(broken)
        except Damaged:
            continue
        pytest.fail(f"{what} went unnoticed")


def test_a_damaged_checkpoint_is_named_and_passed_over(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    newest, older = checkpoint.files(copy / "checkpoints")[:2]
    newest.write_bytes(newest.read_bytes()[:-7])
    (copy / "checkpoints" / ".ckpt_00000099.h5.123.part").write_bytes(b"half")
    result = resume(copy)
    assert result.archive_hash == _hash(whole)
    told = capsys.readouterr().err
    assert f"passed over: checkpoint {newest.name}" in told
    assert f"after generation {int(older.stem[5:])}" in told
    assert not list((copy / "checkpoints").glob(".*"))


def test_no_whole_checkpoint_left(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    for path in checkpoint.files(copy / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="is whole"):
        resume(copy, quiet=True)


def test_a_renamed_checkpoint_is_not_believed(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    oldest = checkpoint.files(copy / "checkpoints")[-1]
    shutil.copy(oldest, copy / "checkpoints" / "ckpt_00000050.h5")
    assert resume(copy, quiet=True).archive_hash == _hash(whole)


# ---------------------------------------------------------------------------------------------------------------------
# disks and owners


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
def test_a_read_only_folder(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    copy.chmod(0o500)
    with pytest.raises(StorageError):
        resume(copy, quiet=True)


def test_a_vanished_folder_ends_the_run(
    halting: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = small.write(tmp_path)
    observe = Recorder.observe

    def vanish(self: Recorder, *arguments: object) -> None:
        observe(self, *arguments)  # type: ignore[arg-type]
        if self._decision.generation == 4:
            shutil.rmtree(self.folder.path)

    monkeypatch.setattr(Recorder, "observe", vanish)
    with pytest.raises(StorageError, match=r"vanished|cannot be written"):
        run(case, quiet=True)


def test_a_full_disk_leaves_the_last_checkpoint(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = small.write(tmp_path)
    folder = case.with_suffix("")
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        # two checkpoints find room, whatever else is written meanwhile
        if len(checkpoint.files(folder / "checkpoints")) >= 2:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr("grs_evo.files.os.write", full)
    with pytest.raises(StorageError, match="No space left on device"):
        run(case, quiet=True)
    monkeypatch.undo()
    kept = checkpoint.files(folder / "checkpoints")
    assert kept
    assert checkpoint.Checkpoint.from_bytes(kept[0].read_bytes()).generation < 12
    assert resume(folder, quiet=True).archive_hash == _hash(whole)


def test_an_orphan_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = small.write(tmp_path)
    observe = Recorder.observe

    def taken_over(self: Recorder, *arguments: object) -> None:
        observe(self, *arguments)  # type: ignore[arg-type]
        if self._decision.generation == 5:
            self.folder.owner.write_text(json.dumps({"token": "somebody else"}))

    monkeypatch.setattr(Recorder, "observe", taken_over)
    with pytest.raises(StorageError, match="taken this run over"):
        run(case, quiet=True)
    steps = [int(path.stem[5:]) for path in checkpoint.files(case.with_suffix("") / "checkpoints")]
    assert max(steps) <= 7


def test_a_run_that_moved_says_so_or_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What computes is recorded at the start; a resume elsewhere names both, and refuses where it is asked to."""
    folder = run(small.write(tmp_path, small.LATTICE.replace("generations = 12", "generations = 1")), quiet=True).folder
    path = folder / "versions.json"
    whole = json.loads(path.read_text())
    deciding = {"cpu", "instructions", "cpu_features", "numpy", "numba", "llvmlite", "scipy", "numpy_simd", "blas"}
    assert deciding <= set(whole)
    assert all(isinstance(value, str) for value in whole.values())
    assert resume(folder, extend="stop.generations=2", same_machine=True, quiet=True).generation == 2
    path.write_text(json.dumps({**whole, "cpu": "haswell", "numpy": "1.0"}))
    words = rf"begun elsewhere: processor haswell, now {whole['cpu']}; numpy 1.0, now {whole['numpy']}"
    with pytest.raises(InputError, match=words) as error:
        resume(folder, extend="stop.generations=3", same_machine=True, quiet=True)
    assert "\n" not in str(error.value)
    capsys.readouterr()
    assert resume(folder, extend="stop.generations=3").generation == 3
    assert " ".join(capsys.readouterr().err.split()).count("begun elsewhere") == 1
    # earlier versions recorded less
    path.write_text(json.dumps({"numpy": whole["numpy"]}))
    assert resume(folder, extend="stop.generations=4", same_machine=True, quiet=True).generation == 4
