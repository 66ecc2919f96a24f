"""README for PyPI, which pyproject.toml cannot say: its links lead to the repository."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
LINK = re.compile(r'(\]\(|(?:src|srcset|href)=")(?!https?:|#)([^)"]+)')
PICTURES = (".svg", ".png")


def readme() -> str:
    """Return README with whole addresses in place of those beside it."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))
    repository = project["project"]["urls"]["Repository"]

    def whole(link: re.Match[str]) -> str:
        before, path = link.groups()
        if path.startswith("../../"):
            return f"{before}{repository}/{path.removeprefix('../../')}"
        kind = "raw" if path.endswith(PICTURES) else "blob"
        return f"{before}{repository}/{kind}/HEAD/{path}"

    return LINK.sub(whole, (HERE / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    setup(long_description=readme(), long_description_content_type="text/markdown")
