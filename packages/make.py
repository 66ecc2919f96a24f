"""Make the packages of the golden vectors for npm and crates.io: ``packages/make.py OUT``.

Each holds what ``lookahead-ref golden make-vectors`` packs, byte for byte, with a few lines
that read it. The major version is the number of the vectors' release.
"""

import shutil
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

from lookahead_ref.conformance import cases
from lookahead_ref.conformance.vectors import make_archive, released

HERE = Path(__file__).parent


def make(out: Path) -> None:
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    urls = project["project"]["urls"]
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(make_archive(Path(folder))) as archive:
            # The first patch releases of Python 3.11 have no filter.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)
        (unpacked,) = (path for path in Path(folder).iterdir() if path.is_dir())
        vectors = sorted(path.relative_to(unpacked) for path in unpacked.rglob("*.json"))
        filled = {
            "version": f"{len(released())}.0.0",
            "release": str(len(released())),
            "cases": str(len(cases())),
            "repository": urls["Repository"],
            "documentation": urls["Documentation"],
            "files": "\n".join(
                f'    ("{path.as_posix()}", include_str!("../vectors/{path.as_posix()}")),'
                for path in vectors
            ),
        }
        for kind in ("npm", "crates"):
            _fill(HERE / kind, out / kind, filled)
            for path in vectors:
                target = out / kind / "vectors" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(unpacked / path, target)
            shutil.copyfile(unpacked / "MANIFEST", out / kind / "vectors" / "MANIFEST")
            shutil.copyfile(HERE.parent / "LICENSE", out / kind / "LICENSE")


def _fill(template: Path, out: Path, filled: dict[str, str]) -> None:
    for path in (each for each in template.rglob("*") if each.is_file()):
        text = path.read_text(encoding="utf-8")
        for name, value in filled.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        target = out / path.relative_to(template)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
