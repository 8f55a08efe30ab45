"""What a fuzzer of documented interfaces finds: `python benchmarks/serve_fuzz.py RUN`.

Serves the bundle of RUN on a free port of this machine, and lets schemathesis (`pip install
schemathesis`) ask it, from its own OpenAPI document, for so many seconds with all checks. It fails
on a 500, on an answer that is not documented, on bad data that is taken and good data that is
refused. Three kinds of answers are expected that its checks would not: a 503 or 504 says that there
was no time, and the fuzzer asks for answers within 5e-324 ms; 413 refuses bad data as 400 does; and
a tensor whose data do not fill its shape is refused, which a schema cannot say.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "404", "405", "413", "503", "504"]

[[operations]]
include-path-regex = "/infer$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "503", "504"]
"""


def main() -> None:
    """Serve, let it be asked, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("--seconds", type=int, default=600, help="how long it is asked")
    parser.add_argument("--program", default=schemathesis(), help="schemathesis itself")
    asked = parser.parse_args()
    if asked.program is None:
        parser.error("schemathesis is not installed")
    with served(asked.run) as port:
        code, said = fuzzed(asked.program, port, asked.seconds)
    print(said)
    sys.exit(code)


def schemathesis() -> str | None:
    """The fuzzer's program; None where there is none."""
    beside = Path(sys.executable).with_name("schemathesis")
    return str(beside) if beside.exists() else shutil.which("schemathesis")


@contextmanager
def served(run: Path) -> Iterator[int]:
    """Gives a port of this machine at which the bundle of a run is served.

    Args:
        run: The folder of the run.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "deploy.toml"
        config.write_text('port = 0\nlog = "log"\n')  # so that labels are taken
        command = [sys.executable, "-m", "surefoot", "serve", "--config", str(config)]
        with subprocess.Popen(command, cwd=run, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield _port(process)
            finally:
                process.terminate()


def _port(process: subprocess.Popen[str]) -> int:
    """Where it listens, as it says."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        found = re.search(r"listening at http://127\.0\.0\.1:(\d+)", said)
        if found is not None:
            return int(found[1])
    raise RuntimeError(said)


def fuzzed(program: str, port: int, seconds: int) -> tuple[int, str]:
    """Exit code and report of schemathesis.

    Args:
        program: Its path.
        port: Where the service listens.
        seconds: How long to ask.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(CONFIG)
        done = subprocess.run(
            [
                program, "--config-file", str(config), "--no-color", "run",
                f"http://127.0.0.1:{port}/openapi.json", "--checks", "all",
                "--max-time", str(seconds), "--warnings", "off",
            ],
            cwd=folder, capture_output=True, text=True, check=False, timeout=seconds + 120,
        )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    return done.returncode, "\n".join(line[:300] for line in lines)


if __name__ == "__main__":
    main()
