"""What a service starts from: a copy of the files that it serves, each as its run wrote it.

A copy, because a service lives longer than a bundle: a worker that takes the place of a dead one
must open what the others opened, whatever was written over the bundle meanwhile.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path, PurePosixPath

from surefoot.bundle import open_bundle, read_manifest, read_verdict_json
from surefoot.bundle.intact import MANIFEST
from surefoot.core.cpus import usable_cpus
from surefoot.core.errors import BundleError
from surefoot.core.model import BASELINE
from surefoot.core.printable import printable
from surefoot.core.serving import Cascade
from surefoot.report.cascade import promise_line
from surefoot.serve.cascade import cascade_or_alone, promised_plan
from surefoot.serve.prepared import Prepared, write_prepared
from surefoot.serve.safety import write_terms
from surefoot.serve.terms import safety_line, safety_terms

EVIDENCE = ("verdict.json", "plan.json", "serving.json", "latency.parquet", "calibration")
"""What the promise rests on; a folder with all that is in it."""
_CHUNK = 1 << 20


def prepare(path: Path, target: Path) -> Prepared:
    """Copy what is served, make sure that it is what the run wrote, and choose the threshold.

    Args:
        path: The folder of a bundle or of a run, or a zip file.
        target: An empty folder for the copy.

    Raises:
        BundleError: A file was changed, lost or added; the manifest names what lies elsewhere;
            there is no room for the copy; or there is nothing to serve.
        SurefootError: What reading the bundle raises.
    """
    with open_bundle(path) as folder:
        manifest = read_manifest(folder)
        if manifest is None:
            raise BundleError(f"no {MANIFEST} that can be read", where=str(path))
        _refuse_elsewhere(manifest, path)
        shutil.copyfile(folder / MANIFEST, target / MANIFEST)
        copy_as_written(folder, target, manifest, EVIDENCE)
        data = read_verdict_json(target)
        plan = promised_plan(target, max_error=None, delta=None, abstain=False)
        found = cascade_or_alone(target, plan, data)
        models = tuple(f"models/{name}" for name in _models(found))
        copy_as_written(folder, target, manifest, models)
    write_prepared(target, found, plan)
    terms, why = safety_terms(target, plan, found)
    if terms is not None:
        write_terms(target, terms)
    outcome = next(v["outcome"] for v in data["verdicts"] if v["candidate"] == found.lean)
    verdict = f"the verdict of {printable(found.lean)} is {printable(str(outcome))}"
    return Prepared(
        lean=found.lean,
        routes=tuple(dict.fromkeys((*_models(found), found.fallback, "abstain"))),
        said=(promise_line(found), verdict, safety_line(terms, why)),
    )


def copy_as_written(
    folder: Path, target: Path, manifest: Mapping[str, str], roots: tuple[str, ...]
) -> None:
    """Copy files of a bundle, each only if it is the one that its manifest names.

    Args:
        folder: The bundle.
        target: Where the copies go, under the same names.
        manifest: SHA-256 by name.
        roots: Files, or folders with all that is in them; one that is nowhere is left out.

    Raises:
        BundleError: A file was changed, lost or added since the manifest was written, or cannot be
            copied.
    """
    names = sorted(name for root in roots for name in _below(folder, manifest, root))
    folders = {parent for name in names for parent in PurePosixPath(name).parents}
    for parent in sorted(folders - {PurePosixPath()}):
        if (folder / parent).is_symlink():  # the bundle itself may be one, no folder in it
            raise _not_as_written(folder, str(parent), "a link")
        (target / parent).mkdir(parents=True, exist_ok=True)

    def copied(name: str) -> str:
        if name not in manifest:
            return "added"
        if not (folder / name).exists():
            return "missing"
        if (folder / name).is_symlink() or not (folder / name).is_file():
            return "a link"
        return "" if _copied(folder / name, target / name) == manifest[name] else "changed"

    # hashlib lets go of the interpreter while it works: threads are enough.
    with ThreadPoolExecutor(usable_cpus()) as threads:
        for name, what in zip(names, threads.map(copied, names), strict=True):
            if what:
                raise _not_as_written(folder, name, what)


def _refuse_elsewhere(manifest: Mapping[str, str], where: Path) -> None:
    """Make sure that every name of a manifest is one that surefoot writes, below the bundle."""
    for name in manifest:
        path = PurePosixPath(name)
        plain = path.as_posix() == name and "\0" not in name and path.parts
        if not plain or path.is_absolute() or ".." in path.parts:
            raise BundleError(
                f"{MANIFEST} holds '{printable(name)}', which is no name of a file of a bundle",
                where=str(where),
                fix="do not use it, or take it from its run again",
            )


def _not_as_written(folder: Path, name: str, what: str) -> BundleError:
    return BundleError(
        f"{printable(name)}: {what} since the bundle was written",
        where=str(folder),
        fix="surefoot verify names every such file",
    )


def _models(found: Cascade) -> tuple[str, ...]:
    """The models that answer, in the order in which they are asked."""
    return (*found.stages, *((BASELINE,) if found.fallback == BASELINE else ()))


def _below(folder: Path, manifest: Mapping[str, str], root: str) -> Iterator[str]:
    """Every file of a root, on disk or in the manifest."""
    named = {name for name in manifest if name == root or name.startswith(f"{root}/")}
    there = (folder / root).rglob("*") if (folder / root).is_dir() else [folder / root]
    named |= {
        path.relative_to(folder).as_posix() for path in there if path.is_symlink() or path.is_file()
    }
    yield from named


def _copied(source: Path, target: Path) -> str:
    """The SHA-256 of what was copied: what was read once is not read again."""
    digest = sha256()
    try:
        with source.open("rb") as stream, target.open("xb") as out:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)
    except OSError as error:
        free = shutil.disk_usage(target.parent).free
        raise BundleError(
            f"{printable(source.name)} cannot be copied: {error.strerror}",
            where=str(source.parent),
            fix=f"{target.parent} has {free:,} bytes free; TMPDIR names another folder",
        ) from error
    return digest.hexdigest()
