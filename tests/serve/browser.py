"""A headless Chromium that is driven through a pipe, while what it shows goes on changing."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WITHIN_S = 60


class Page:
    """A tab, in the DevTools protocol: messages end with a NUL."""

    def __init__(self, reading, writing):
        self._reading, self._writing, self._number, self._left = reading, writing, 0, b""
        self.told = []
        """What the page wrote to its console, and what went wrong in it."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        return self._call(method, self._session, **parameters)

    def ask(self, script):
        """The value of an expression, or of what it promises."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script):
        """Ask again until it is true."""
        deadline = time.monotonic() + WITHIN_S
        while not (found := self.ask(script)):
            assert time.monotonic() < deadline, f"never: {script}"
            time.sleep(0.1)
        return found

    def look(self, width, *, dark=False):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def shoot(self, path):
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method, session=None, **parameters):
        self._number += 1
        sent = {"id": self._number, "method": method, "params": parameters, **(session or {})}
        os.write(self._writing, json.dumps(sent).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
            if said.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.told.append(said["params"])

    def _read(self):
        while b"\0" not in self._left:
            assert select.select([self._reading], [], [], WITHIN_S)[0], "the browser is silent"
            part = os.read(self._reading, 1 << 16)
            assert part, "the browser has gone"
            self._left += part
        one, _, self._left = self._left.partition(b"\0")
        return json.loads(one)


@contextmanager
def chromium(folder):
    """Gives a page of a browser whose files are in a folder; skips where there is no browser."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    (theirs, writing), (reading, answers) = os.pipe(), os.pipe()
    # The browser reads at 3 and writes at 4, wherever they were here.
    shell = f'exec 3<&{theirs} 4>&{answers}; exec "$0" "$@"'
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--remote-debugging-pipe", f"--user-data-dir={folder}",
    ]  # fmt: skip
    process = subprocess.Popen(
        ["/bin/bash", "-c", shell, program, *options], pass_fds=(theirs, answers),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    os.close(answers)
    try:
        yield Page(reading, writing)
    finally:
        os.close(writing)
        os.close(reading)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
