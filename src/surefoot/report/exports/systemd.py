"""A unit that runs the served bundle under systemd."""

from __future__ import annotations

import re

from surefoot.core.errors import ModelError, PlanError
from surefoot.core.release import Export, Release
from surefoot.report.exports._written import slug

_PATH = re.compile(r"/[!-~]*")  # what stands in a unit as it is
_OWN = re.compile(r"""[%$"'\\;]""")  # what systemd would read as something else
HARDENED = (
    "DynamicUser=yes",
    "UMask=0077",
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "PrivateDevices=yes",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectSystem=strict",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
)
"""What a service that reads a bundle and answers on a socket can do without."""


def systemd(
    release: Release,
    *,
    program: str = "/opt/surefoot/bin/surefoot",
    bundle: str = "/srv/surefoot/bundle.zip",
    config: str = "",
) -> Export:
    """A systemd unit that serves the bundle with `surefoot serve`.

    `systemctl reload` takes what lies at the bundle's place by then, and `stop` answers what is
    under way first. A start that cannot succeed, such as of a bundle that was changed, is not
    tried again. It runs as a user of its own that can write nothing but its state folder
    (`/var/lib/surefoot`) and a temporary one.

    Args:
        release: What is exported.
        program: surefoot on that machine.
        bundle: The bundle there, a folder or a zip file.
        config: The file of `--config` there; empty for none.
    """
    if release.candidate.folder is None:
        raise ModelError(
            "the bundle does not hold the model, so there is nothing to serve",
            where=release.candidate.name,
            fix="export the winner, or name the candidate under [serve] in the plan and run it",
        )
    command = [_path("program", program), "serve", _path("bundle", bundle)]
    command += ["--config", _path("config", config)] if config else []
    command += ["--force"] if release.verdict.outcome != "PASS" else []
    lines = (
        f"# {slug(release.candidate.name)} of bundle {slug(release.key)[:12]},",
        f"# whose verdict is {release.verdict.outcome}",
        "[Unit]",
        f"Description=surefoot serves {slug(release.candidate.name)}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        f"ExecStart={' '.join(command)}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=on-failure",
        "# 2 and 4: what is named cannot be served, now or later.",
        "RestartPreventExitStatus=2 4",
        "# The supervisor ends its workers itself, when they have answered.",
        "KillMode=mixed",
        "TimeoutStopSec=60",
        "LimitNOFILE=65536",
        "StateDirectory=surefoot",
        *HARDENED,
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    )
    return Export(files={"": "\n".join(lines) + "\n"})


def _path(option: str, path: str) -> str:
    """A path as systemd reads it, on one line and as one word."""
    if not _PATH.fullmatch(path) or _OWN.search(path):
        raise PlanError(
            f"systemd.{option}: must be a path from the root without blanks, quotes and % $ ;, "
            f"found {path!r}"
        )
    return path
