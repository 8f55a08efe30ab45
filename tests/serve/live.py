"""A service in processes of its own, and clients that count what they lose."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from surefoot.core.hashing import hash_file

COMMAND = (sys.executable, "-c", "from surefoot.cli import main; main()")


def listening(process: subprocess.Popen) -> tuple[int, str]:
    """Waits until a service says where it listens: its port, and all that it said."""
    said = ""
    while "listening at" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return int(re.search(r"127\.0\.0\.1:(\d+)", said)[1]), said


@contextmanager
def served(folder: Path, *options: str):
    """Gives the process and its port, and ends it."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *options], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    try:
        port, said = listening(process)
        yield process, port, said
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def rewrite_manifest(bundle):
    """Let a bundle that was changed be the one that its run wrote."""
    files = [path for path in bundle.rglob("*") if path.is_file() and path.name != "manifest.json"]
    manifest = {path.relative_to(bundle).as_posix(): hash_file(path) for path in sorted(files)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def ask(port, method, path, body=None, headers=None):
    """Status and body of one request."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    sent = json.dumps(body).encode() if isinstance(body, dict) else body
    try:
        link.request(method, path, sent, headers or {})
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def workers_of(process):
    """The ids of the processes that answer."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(one) for one in children.read_text().split()]


def clients_of(worker, port):
    """The ports of the clients whose connections a process holds."""
    held = {str(fd.readlink()) for fd in Path(f"/proc/{worker}/fd").iterdir() if fd.is_symlink()}
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, *_, inode = line.split()[:10]
        if int(local.split(":")[1], 16) == port and f"socket:[{inode}]" in held:
            found.add(int(remote.split(":")[1], 16))
    return found


def eventually(true, seconds=60.0):
    """Wait until something is so; a busy machine may take its time."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.02)
    return found


class Load:
    """Clients that each send one request after the other, and none of them twice.

    Args:
        port: The service's.
        body: What they send.
        clients: How many there are.
        keep: Whether they keep a connection for as long as the service does.
        trust: Of what certificates they think well; None for connections in the clear.
    """

    def __init__(self, port, body, *, clients=8, keep=True, trust=None):
        self.answers, self.lost, self.refused = [], [], 0
        self._body, self._keep = body, keep
        where = {"host": "127.0.0.1", "port": port, "timeout": 60}
        self._connection = (
            partial(http.client.HTTPConnection, **where)
            if trust is None
            else partial(http.client.HTTPSConnection, context=trust, **where)
        )
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]

    def __enter__(self):
        for one in self._threads:
            one.start()
        eventually(lambda: len(self.answers) > 20 * len(self._threads))
        return self

    def __exit__(self, *_):
        self._over.set()
        for one in self._threads:
            one.join()

    def wait_for(self, more):
        """Let so many more requests be answered."""
        wanted = len(self.answers) + more
        eventually(lambda: len(self.answers) >= wanted)

    def _client(self):
        link = None
        while not self._over.is_set():
            if link is None:
                link = self._connection()
                link.auto_open = False
                try:
                    link.connect()
                except ConnectionRefusedError:
                    self.refused += 1
                    link = None
                    time.sleep(0.01)
                    continue
                except OSError as error:
                    self.lost.append((0, repr(error)))
                    link = None
                    continue
            own = link.sock.getsockname()[1]
            try:
                link.request("POST", "/predict", self._body)
                answer = link.getresponse()
                self.answers.append((answer.status, answer.read()))
                over = answer.will_close or not self._keep
            except OSError as error:
                self.lost.append((own, repr(error)))
                over = True
            except http.client.HTTPException as error:
                self.lost.append((own, repr(error)))
                over = True
            if over:
                link.close()
                link = None
        if link is not None:
            link.close()
