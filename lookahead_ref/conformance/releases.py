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

_FILE = "releases.json"
_README = """# Vectors for Lookahead, release {release}

Files in the format {version}. `index.json` lists them; `smoke.json` is where to start. Each
value is an IEEE-754 bit string; a case passes where |got - expected| <= tolerance. The JSON
Schemas say what a file holds, the specification of lookahead-ref what a case asks.
`MANIFEST` has the SHA-256 of every file, `CHANGES.md` what has changed.
"""


def digests(some: Sequence[Case]) -> dict[str, str]:
    """Digest cases: whatever is written of one, in 16 hexadecimal digits."""
    written = {case.id: json.dumps(case.data, sort_keys=True).encode() for case in some}
    return {name: hashlib.sha256(data).hexdigest()[:16] for name, data in written.items()}


def recorded() -> list[dict[str, str]]:
    """Read the releases there were: case to digest, the first release first."""
    text = files(__package__).joinpath(_FILE).read_text("utf-8")
    releases: list[dict[str, str]] = json.loads(text)["releases"]
    return releases


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    """Compare two releases: the ids of the cases that differ, sorted."""
    both = before.keys() & after.keys()
    return {
        "added": sorted(after.keys() - before.keys()),
        "changed": sorted(each for each in both if before[each] != after[each]),
        "withdrawn": sorted(before.keys() - after.keys()),
    }


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
    """Give the vectors of this package the next number; None if they have one."""
    releases, now = recorded(), digests(cases())
    if releases and releases[-1] == now:
        return None
    releases.append(now)
    content = json.dumps({"releases": releases}, indent=0) + "\n"
    (Path(__file__).parent / _FILE).write_text(content, encoding="utf-8")
    return len(releases)


def make(folder: Path) -> Path:
    """Write the archive of the last release, byte for byte the same each time."""
    from lookahead_ref.report.files import write_atomically

    releases = recorded()
    found = changes(releases[-1], digests(cases()))
    if differ := sum(len(ids) for ids in found.values()):
        raise ValueError(
            f"{differ} cases are not those of release {len(releases)}: "
            "--record gives them the next number"
        )
    contents = _contents(releases)
    manifest = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in contents.items()
    )
    contents["MANIFEST"] = manifest.encode()
    name = f"lookahead-vectors-{len(releases)}"
    target = folder / f"{name}.tar.gz"
    write_atomically(target, _archive(name, contents))
    return target


def _archive(name: str, contents: Mapping[str, bytes]) -> bytes:
    raw, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{name}/{path}")  # no owner, no time
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    with gzip.GzipFile("", "wb", 9, packed, mtime=0) as zipped:
        zipped.write(raw.getvalue())
    return packed.getvalue()


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
