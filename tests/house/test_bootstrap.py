"""`./surefoot` sets up, says what is missing, and starts at once."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("cat", "cmp", "dirname", "env", "grep", "head", "mktemp", "rm", "sh", "tail", "uname")


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the bootstrap reads, and a PATH without any Python on it."""
    folder = tmp_path / "check out"
    (folder / "bin").mkdir(parents=True)
    for name in ("surefoot", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    for tool in TOOLS:
        (folder / "bin" / tool).symlink_to(shutil.which(tool))
    return folder


def call(folder, *args):
    env = {"PATH": str(folder / "bin"), "HOME": str(folder)}
    command = [str(folder / "surefoot"), *args]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder)


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def python_without(folder, *missing):
    """A `python3` on the PATH that lacks some modules."""
    words = "|".join(f"*{name}*" for name in missing)
    script(
        folder / "bin" / "python3",
        f'case "$*" in *import\\ *{words}) exit 1;; esac\nexec "{sys.executable}" "$@"\n',
    )


def ready(folder, profile):
    """A finished set-up whose program prints its arguments, and whose pip notes them and fails."""
    venv = folder / ".venv"
    script(venv / "bin" / "python", f'echo "$*" >>"{folder.parent}/asked"\nexit 1\n')
    script(venv / "bin" / "surefoot", 'echo "ran $*"\n')
    torch = next(
        line.partition("=")[2]
        for line in (folder / "surefoot").read_text().splitlines()
        if line.startswith("TORCH=")
    )
    text = f"{folder}\n{profile}, torch {torch}\n"
    pins = (folder / name for name in ("pyproject.toml", "constraints.txt"))
    (venv / "ready").write_text(text + "".join(path.read_text() for path in pins))


def test_is_plain_posix_shell():
    for shell in filter(None, map(shutil.which, ("dash", "bash", "sh"))):
        subprocess.run([shell, "-n", str(ROOT / "surefoot")], check=True)
    assert os.access(ROOT / "surefoot", os.X_OK)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_no_python_names_the_fix(checkout):
    result = call(checkout, "demo")
    assert result.returncode == 4
    assert "needs Python 3.11 or newer and found no python3" in result.stderr
    assert "python3-venv" in result.stderr or "brew install" in result.stderr
    assert not (checkout / ".venv").exists()


def test_an_old_python_is_named(checkout):
    text = 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac\n'
    script(checkout / "bin" / "python3", text)
    result = call(checkout, "demo")
    assert result.returncode == 4
    assert "found Python 3.9.2" in result.stderr


def test_python_without_venv_names_the_package(checkout):
    python_without(checkout, "ensurepip")
    result = call(checkout, "demo")
    version = "{}.{}".format(*sys.version_info)
    assert result.returncode == 4
    assert "lacks the venv module or pip" in result.stderr
    assert f"python{version}-venv" in result.stderr or f"python@{version}" in result.stderr


@pytest.mark.parametrize("profile", ["compress", "dev"])
def test_a_second_call_starts_at_once(checkout, profile):
    ready(checkout, profile)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        result = call(checkout, "run", "a plan.toml", "--json")
        times.append(time.perf_counter() - start)
    assert result.stdout == "ran run a plan.toml --json\n"
    assert result.stderr == ""
    assert min(times) < 0.03, times


@pytest.mark.parametrize("change", ["pins", "unfinished", "moved", "torch"])
def test_a_set_up_that_is_not_up_to_date_is_done_again(checkout, change):
    ready(checkout, "compress")
    if change == "pins":
        with (checkout / "constraints.txt").open("a") as file:
            file.write("numpy==0\n")
    elif change == "unfinished":
        (checkout / ".venv" / "ready").unlink()
        (checkout / ".venv" / "unfinished").touch()
    elif change == "moved":
        checkout = checkout.rename(checkout.with_name("elsewhere"))
    else:
        text = (checkout / "surefoot").read_text()
        (checkout / "surefoot").write_text(text.replace("TORCH=", "TORCH=0."))
    result = call(checkout, "run")
    assert result.returncode == 4
    assert result.stdout == ""
    if change in ("pins", "torch"):
        assert "install" in (checkout.parent / "asked").read_text()
        assert "for CPU was not found" in result.stderr
    else:
        # Made anew from the very start, for which this machine has no Python.
        assert "needs Python 3.11" in result.stderr


def asked(checkout):
    return (checkout.parent / "asked").read_text()


def outdated(checkout, python):
    """A set-up that is due, with a Python that does what the script says."""
    ready(checkout, "compress")
    (checkout / ".venv" / "ready").unlink()
    note = f'echo "$*" >>"{checkout.parent}/asked"\n'
    script(checkout / ".venv" / "bin" / "python", note + python)


@pytest.mark.skipif(sys.platform != "linux", reason="only wheels for Linux bring CUDA")
def test_a_cuda_build_without_a_gpu_is_an_error(checkout):
    outdated(checkout, 'case "$*" in *version.cuda*) exit 1;; esac\n')
    result = call(checkout, "run")
    assert result.returncode == 4
    assert "came as a CUDA build" in result.stderr
    assert "export PIP_EXTRA_INDEX_URL=" in result.stderr


def test_with_a_gpu_the_plain_build_is_taken(checkout):
    outdated(checkout, 'case "$*" in *version.cuda*) exit 1;; esac\n')
    script(checkout / "bin" / "nvidia-smi", "exit 0\n")
    result = call(checkout, "run", "x.toml")
    assert result.stdout == "ran run x.toml\n"
    assert "+cpu" not in asked(checkout)
    assert (checkout / ".venv" / "ready").exists()
    assert not (checkout / ".venv" / "unfinished").exists()


def test_torch_comes_first_and_alone(checkout):
    outdated(checkout, "exit 0\n")
    assert call(checkout, "run").returncode == 0
    installs = [line for line in asked(checkout).splitlines() if "pip install" in line]
    assert [line.split("constraints.txt ")[1] for line in installs] == [
        "torch==2.13.0+cpu" if sys.platform == "linux" else "torch==2.13.0",
        "hatchling editables",
        f"--no-build-isolation --editable {checkout}[compress]",
    ]
    call(checkout, "run")
    assert len(asked(checkout).splitlines()) == len(installs) + (sys.platform == "linux")


@pytest.mark.parametrize(
    "line",
    [
        "error: command 'gcc' failed: No such file or directory",
        "error: [Errno 2] No such file or directory: 'cc'",
        "fatal error: Python.h: No such file or directory",
    ],
)
def test_a_missing_compiler_names_the_package(checkout, line):
    outdated(checkout, f'case "$*" in *editable*) echo "{line}" >&2; exit 1;; esac\n')
    result = call(checkout, "run")
    assert result.returncode == 4
    assert "needs a compiler" in result.stderr
    assert "build-essential" in result.stderr or "xcode-select" in result.stderr


def test_a_failed_install_shows_the_log(checkout):
    outdated(checkout, 'case "$*" in *editable*) echo "no space left" >&2; exit 1;; esac\n')
    result = call(checkout, "run")
    assert result.returncode == 4
    assert "no space left" in result.stderr
    assert "setup.log" in result.stderr
    assert "compiler" not in result.stderr


def test_the_verb_test_wants_the_dev_set(checkout):
    ready(checkout, "compress")
    result = call(checkout, "test")
    assert result.returncode == 4
    assert "surefoot: installing torch" in result.stderr


def test_an_interrupted_set_up_leaves_its_mark(checkout):
    ready(checkout, "compress")
    call(checkout, "test")
    assert (checkout / ".venv" / "unfinished").exists()
    assert not (checkout / ".venv" / "ready").exists()


def test_a_second_first_call_waits_for_the_one_that_is_setting_up(checkout):
    for tool in ("sleep", "kill"):
        (checkout / "bin" / tool).symlink_to(shutil.which(tool))
    other = subprocess.Popen(["sleep", "60"])
    (checkout / ".venv.lock").write_text(f"{other.pid}\n")
    env = {"PATH": str(checkout / "bin"), "HOME": str(checkout)}
    waiting = subprocess.Popen(
        [str(checkout / "surefoot"), "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )
    assert f"process {other.pid}) is setting up" in waiting.stderr.readline()
    ready(checkout, "compress")  # the other call ends, its work done
    (checkout / ".venv.lock").unlink()
    out, _ = waiting.communicate(timeout=30)
    other.kill()
    other.wait()
    assert (waiting.returncode, out) == (0, "ran list\n")
    assert not (checkout / ".venv.lock").exists()


def test_a_set_up_that_was_killed_does_not_block_the_next(checkout):
    gone = subprocess.Popen(["true"])
    gone.wait()
    (checkout / ".venv.lock").write_text(f"{gone.pid}\n")
    result = call(checkout, "list")
    assert "needs Python 3.11" in result.stderr
    assert not (checkout / ".venv.lock").exists()
