"""The vectors as an archive to hand out, numbered apart from the code, with its changes.

``releases.json`` remembers the cases of each release, with a digest of what they are. From
it come the change log and the check that what is handed out has a number of its own.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from lookahead_ref.conformance.vectors import VERSION, Case, cases

__all__ = ["Change", "changelog", "changes", "digests", "make", "record", "recorded"]

_FILE = "releases.json"
_README = """# Vectors for Lookahead, release {release}

Files in the format {version}. `index.json` lists them; `smoke.json` is where to start. Each
value is an IEEE-754 bit string; a case passes where |got - expected| <= tolerance. The JSON
Schemas say what a file holds, the specification of lookahead-ref what a case asks.
`MANIFEST` has the SHA-256 of every file, `CHANGES.md` what has changed.
"""


class Change(dict[str, list[str]]):
    """The ids of the cases that were ``added``, ``changed`` and ``withdrawn``."""


def digests(some: Sequence[Case]) -> dict[str, str]:
    """Digest cases: whatever is written of one, in 16 hexadecimal digits."""
    return {
        case.id: hashlib.sha256(
            json.dumps(case.data, sort_keys=True).encode("utf-8")
        ).hexdigest()[:16]
        for case in some
    }


def recorded() -> list[dict[str, str]]:
    """Read the releases there were: case to digest, the first release first."""
    text = files(__package__).joinpath(_FILE).read_text("utf-8")
    releases: list[dict[str, str]] = json.loads(text)["releases"]
    return releases


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Change:
    """Compare two releases.

    Parameters
    ----------
    before, after : dict
        Case to digest.

    Returns
    -------
    Change
        Sorted ids.
    """
    both = before.keys() & after.keys()
    return Change(
        added=sorted(after.keys() - before.keys()),
        changed=sorted(each for each in both if before[each] != after[each]),
        withdrawn=sorted(before.keys() - after.keys()),
    )


def changelog(releases: Sequence[Mapping[str, str]]) -> str:
    """Write what each release changed, the latest first, as Markdown."""
    parts = ["# Changes of the vectors\n"]
    for number in range(len(releases), 0, -1):
        before = releases[number - 2] if number > 1 else {}
        parts.append(f"\n## Release {number}: {len(releases[number - 1])} cases\n")
        if number == 1:
            parts.append("\nThe first.\n")
            continue
        for kind, ids in changes(before, releases[number - 1]).items():
            if ids:
                parts.append(f"\n{kind.capitalize()}: {', '.join(ids)}.\n")
    return "".join(parts)


def record() -> int | None:
    """Give the vectors of this package a number, unless they have one.

    Returns
    -------
    int or None
        The new number; None where they are those of the last release.
    """
    releases, now = recorded(), digests(cases())
    if releases and releases[-1] == now:
        return None
    releases.append(now)
    content = json.dumps({"releases": releases}, indent=0) + "\n"
    (Path(__file__).parent / _FILE).write_text(content, encoding="utf-8")
    return len(releases)


def make(folder: Path) -> Path:
    """Write the archive of the last release, byte for byte the same each time.

    Parameters
    ----------
    folder : path
        Where.

    Returns
    -------
    path
        ``lookahead-vectors-N.tar.gz``.

    Raises
    ------
    ValueError
        If the vectors are not those of the last release.
    OSError
        If it cannot be written.
    """
    from lookahead_ref.report.files import write_atomically

    releases = recorded()
    number, found = len(releases), changes(releases[-1], digests(cases()))
    differ = sum(len(ids) for ids in found.values())
    if differ:
        raise ValueError(
            f"{differ} cases are not those of release {number}: "
            "--record gives them the next number"
        )
    contents = _contents(releases)
    manifest = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in contents.items()
    )
    contents["MANIFEST"] = manifest.encode()
    name = f"lookahead-vectors-{number}"
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{name}/{path}")  # no owner, no time
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, packed, mtime=0) as zipped:
        zipped.write(raw.getvalue())
    target = folder / f"{name}.tar.gz"
    write_atomically(target, packed.getvalue())
    return target


def _contents(releases: Sequence[Mapping[str, str]]) -> dict[str, bytes]:
    place = Path(str(files(__package__).joinpath("vectors")))
    found = {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in sorted(place.rglob("*.json"))
    }
    readme = _README.format(release=len(releases), version=VERSION)
    found["README.md"] = readme.encode()
    found["CHANGES.md"] = changelog(releases).encode()
    return found
