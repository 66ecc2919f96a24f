"""Reads the vector files, checks them against their index, and releases them.

A release is an archive to distribute, with a number of its own, independent of the code's
version. ``releases.json`` records which cases each release changed, with a digest of each.
It yields the change log, and the check that different vectors never share a number.
"""

import gzip
import hashlib
import io
import json
import reprlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.hyperparameters import close_to, option
from lookahead_ref.system import read_file

Float64Array = NDArray[np.float64]


class Format(NamedTuple):
    """The name and version of a format; incompatible changes raise the version."""

    name: str
    version: int


OPTIMIZERS = Format("lookahead-vectors", 2)
MODELS = Format("lookahead-models", 1)
VERSION = OPTIMIZERS.version


class VectorFileError(ValueError):
    """A vector file cannot be read or trusted; the message names it."""


@dataclass(frozen=True)
class Expected:
    """Expected values of a quantity, with tolerances of the same shape."""

    values: Float64Array
    tolerance: Mapping[tuple[str, str], Float64Array]  # by dtype and level


@dataclass(frozen=True)
class CaseOutcome:
    """The expected values of a case under one convention."""

    name: str  # ``reference``, or the variant's name
    steps: list[dict[str, Any]] = field(repr=False)  # as the file holds them

    @cached_property
    def fast(self) -> Expected:
        """The fast weights: a row for each step, with all tensors concatenated."""
        return _rows([step["fast"] for step in self.steps])

    @cached_property
    def slow(self) -> list[Expected]:
        """The slow weights of each Lookahead, the outermost first, like `fast`."""
        levels = range(len(self.steps[0]["slow"]))
        return [_rows([step["slow"][level] for step in self.steps]) for level in levels]

    @cached_property
    def slots(self) -> dict[str, Expected]:
        """The inner optimizer's slots by name, like `fast`."""
        names = [slot["name"] for slot in self.steps[0]["slots"]]
        return {
            name: _rows([step["slots"][place] for step in self.steps])
            for place, name in enumerate(names)
        }

    @property
    def quantities(self) -> dict[str, Expected]:
        """All of these, by the names that reports use."""
        slow = {slow_weights(level): each for level, each in enumerate(self.slow)}
        evaluated = {"evaluated weights": self.slow[0]}
        return {"fast weights": self.fast, **slow, **self.slots, **evaluated}


def slow_weights(level: int) -> str:
    return f"slow weights of level {level + 1}" if level else "slow weights"


@dataclass(frozen=True, repr=False)
class AnyCase:
    """What cases of optimizers and of models have in common."""

    data: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The id, which is never reused."""
        return str(self.data["id"])

    @property
    def __name__(self) -> str:
        """The id, which pytest uses as the parameter's name."""
        return self.id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    @property
    def profile(self) -> str:
        """Its profile."""
        return str(self.data["profile"])

    @property
    def dtypes(self) -> list[str]:
        """Its precisions."""
        return list(self.data["dtypes"])


class Case(AnyCase):
    """A case of the golden suite.

    Parameters
    ----------
    data : dict
        The case as in the file.

    Examples
    --------
    >>> case = cases("wrapper")[0]
    >>> case.id, case.steps
    ('smoke-wrapper', 4)
    """

    @property
    def steps(self) -> int:
        """The number of steps."""
        return int(self.data["steps"])

    @property
    def flags(self) -> list[str]:
        """The bugs that it can show, and its properties."""
        return list(self.data["flags"])

    @property
    def save_after(self) -> int | None:
        """The step after which the state is saved, if any."""
        return self.data.get("save_after")

    @property
    def evaluate_after(self) -> list[int]:
        """The steps after which the program is asked for the weights to evaluate."""
        return list(self.data.get("evaluate_after", ()))

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the parameters."""
        return [tuple(tensor["shape"]) for tensor in self.data["params"]]

    @cached_property
    def names(self) -> list[str]:
        """The names of the parameters."""
        return [tensor["name"] for tensor in self.data["params"]]

    @property
    def size(self) -> int:
        """The number of steps times the number of elements."""
        return self.steps * sum(prod(shape) for shape in self.shapes)

    @cached_property
    def outcomes(self) -> list[CaseOutcome]:
        """The outcomes that pass: the reference first, then variants."""
        return [CaseOutcome(each["name"], each["steps"]) for each in self.data["outcomes"]]

    def params(self, dtype: str) -> list[NDArray[Any]]:
        """Make the initial parameters, new arrays of ``float32`` or ``float64``."""
        return self.arrays([tensor["values"] for tensor in self.data["params"]], dtype)

    def arrays(self, tensors: list[list[str]], dtype: str) -> list[NDArray[Any]]:
        """Make arrays like the parameters from the bit strings of their elements."""
        return [
            decode(values).astype(dtype).reshape(shape)
            for values, shape in zip(tensors, self.shapes, strict=True)
        ]


@dataclass(frozen=True)
class Suite:
    """The golden suite."""

    index: Mapping[str, Any] = field(repr=False)
    """The index as in the file."""
    cases: list[Case] = field(repr=False)
    """Every case, in the order of the files."""

    def case(self, identity: str) -> Case:
        """Look up a case by its id; a ValueError suggests a close one."""
        for case in self.cases:
            if case.id == identity:
                return case
        close = close_to(identity, (case.id for case in self.cases))
        raise ValueError(f"case must be the id of a case, got {identity!r}{close}")


def decode(values: Sequence[str]) -> Float64Array:
    """Read bit strings: IEEE-754 binary64, 16 hexadecimal digits each, the sign first.

    Parameters
    ----------
    values : list of str
        The bit strings.

    Returns
    -------
    ndarray
        Float64, of shape (len(values),).
    """
    return np.frombuffer(bytes.fromhex("".join(values)), ">f8").astype(np.float64)


def load(folder: Traversable | None = None) -> Suite:
    """Read and check all vector files.

    Parameters
    ----------
    folder : path, optional
        The folder; that of this package if not given.

    Returns
    -------
    Suite
        The suite.

    Raises
    ------
    VectorFileError
        If a file is missing, of a later version, truncated or edited; the message names it.
    """
    if folder is None:
        return _packaged()
    index, found = read_files(folder, OPTIMIZERS)
    return Suite(index, [Case(each) for each in found])


@lru_cache(maxsize=1)
def _packaged() -> Suite:
    return load(files(__package__).joinpath("vectors"))


def cases(profile: str | None = None, *, folder: Traversable | None = None) -> list[Case]:
    """List the cases of the golden suite, to parametrize a test with.

    Parameters
    ----------
    profile : str, optional
        The profile to list, such as ``wrapper``; all of them if not given.
    folder : path, optional
        The folder of the vector files; that of this package if not given.

    Returns
    -------
    list of Case
        The cases. Pytest names a test after their ids.

    Raises
    ------
    ValueError
        If there is no such profile; a VectorFileError if a file cannot be read or trusted.

    Examples
    --------
    >>> [case.id for case in cases("evaluation")][:2]
    ['smoke-evaluation', 'evaluation-sgd-every']
    """
    suite = load(folder)
    check_profile(profile, suite.index)
    return [case for case in suite.cases if profile in (None, case.profile)]


def profiles() -> list[str]:
    """List the profiles of the index, and ``own-inner``."""
    folder = files(__package__).joinpath("vectors")
    index = parse("index.json", _read(folder, "index.json"), OPTIMIZERS)
    return [*(each["name"] for each in index["profiles"]), "own-inner"]


def check_profile(profile: str | None, index: Mapping[str, Any]) -> None:
    """Refuse a profile that is not in the index."""
    if profile is not None:
        option("profile", profile, tuple(each["name"] for each in index["profiles"]))


def read_files(
    folder: Traversable, form: Format
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read and check the files of a format; return the index and the cases."""
    index = parse("index.json", _read(folder, "index.json"), form)
    found = []
    for name, size, digest in _listed(index):
        content = _read(folder, name)
        # Parsed before the check of the digest: a wrong version says more than that.
        cases = parse(name, content, form).get("cases")
        if hashlib.sha256(content).hexdigest() != digest:
            raise VectorFileError(
                f"{name} is not the file that index.json lists: its SHA-256 differs"
            )
        if not isinstance(cases, list) or len(cases) != size:
            raise VectorFileError(f"{name} must hold a list of {size} cases")
        found += cases
    return index, found


def _listed(index: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Yield each file of the index, with its number of cases and its SHA-256."""
    try:
        for entry in index["files"]:
            name, size, digest = entry["file"], entry["cases"], entry["sha256"]
            if Path(name).name != name or not isinstance(size, int):
                raise ValueError(f"no file and number of cases: {name!r}, {size!r}")
            yield name, size, digest
        if not all(isinstance(each["name"], str) for each in index["profiles"]):
            raise ValueError("profiles must have names")
    except (KeyError, TypeError, ValueError) as error:
        raise VectorFileError(f"index.json does not follow its schema: {error}") from error


def _read(folder: Traversable, name: str) -> bytes:
    place = folder.joinpath(name)
    try:
        return read_file(place) if isinstance(place, Path) else place.read_bytes()
    except OSError as error:
        raise VectorFileError(f"{name} cannot be read: {error}") from error


def parse(name: str, content: bytes, form: Format) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise VectorFileError(f"{name} is not JSON (is it truncated?): {error}") from error
    if not isinstance(data, dict) or data.get("format") != form.name:
        raise VectorFileError(f"{name} must be of the format {form.name!r}")
    if data.get("version") != form.version:
        raise VectorFileError(
            f"{name} has version {reprlib.repr(data.get('version'))}; this reader "
            f"knows version {form.version}"
        )
    return data


def _rows(quantities: list[dict[str, Any]]) -> Expected:
    def rows(tensors: Iterator[list[list[float]]]) -> Float64Array:
        return np.array(
            [[x for values in each for x in values] for each in tensors], np.float64
        )

    bits = [b for each in quantities for values in each["expected"] for b in values]
    return Expected(
        decode(bits).reshape(len(quantities), -1),
        {
            (dtype, level): rows(each["tolerance"][dtype][level] for each in quantities)
            for dtype, levels in quantities[0]["tolerance"].items()
            for level in levels
        },
    )


# Golden models.


class ModelCase(AnyCase):
    """A model with weights and a batch, and the expected results.

    Parameters
    ----------
    data : dict
        The case as in the file.

    Examples
    --------
    >>> case = model_cases("model:lstm")[0]
    >>> case.id, case.model["kind"], list(case.params("float32"))[:2]
    ('lstm-smoke', 'lstm', ['embedding.weight', 'layer1.input_weight'])
    """

    @property
    def model(self) -> Mapping[str, Any]:
        """``kind``, ``layers``, and ``activation`` or ``tied``."""
        model: Mapping[str, Any] = self.data["model"]
        return model

    def params(self, dtype: str) -> dict[str, NDArray[Any]]:
        """Make the parameters: name, such as ``layer1.weight``, to a new array."""
        return {p["name"]: _array(p, dtype) for p in self.data["params"]}

    def batch(self, dtype: str) -> dict[str, Any]:
        """Make the batch: ``inputs`` and ``labels``; for an LSTM ``carried``, too."""
        batch = self.data["batch"]
        labels = np.array(batch["labels"], np.int64)
        if self.model["kind"] == "mlp":
            return {"inputs": _array(batch["inputs"], dtype), "labels": labels}
        return {
            "inputs": np.array(batch["inputs"], np.int64),
            "labels": labels,
            "carried": {p["name"]: _array(p, dtype) for p in batch["carried"]},
        }

    @property
    def expected(self) -> dict[str, Expected]:
        """Quantities by name: ``loss``, ``gradient layer1.bias``, ``layer1.cell``, ..."""
        expected = self.data["expected"]
        tensors = [*self.data["params"], *self.data["batch"].get("carried", [])]
        shapes = {tensor["name"]: tensor["shape"] for tensor in tensors}

        def named(of: str, prefix: str = "") -> dict[str, Expected]:
            return {
                f"{prefix}{each['name']}": _expected(each, shapes[each["name"]])
                for each in expected[of]
            }

        loss = {"loss": _expected(expected["loss"], ())}
        return loss | named("gradients", "gradient ") | named("carried")


def _array(tensor: Mapping[str, Any], dtype: str) -> NDArray[Any]:
    return decode(tensor["values"]).astype(dtype).reshape(tensor["shape"])


def _expected(quantity: Mapping[str, Any], shape: Any) -> Expected:
    return Expected(
        decode(quantity["expected"]).reshape(shape),
        {
            (dtype, level): np.array(values).reshape(shape)
            for dtype, levels in quantity["tolerance"].items()
            for level, values in levels.items()
        },
    )


def model_cases(
    profile: str | None = None, *, folder: Traversable | None = None
) -> list[ModelCase]:
    """List the golden models, to parametrize a test with.

    Parameters
    ----------
    profile : {"model:mlp", "model:lstm"}, optional
        The profile to list; both if not given.
    folder : path, optional
        The folder of the files; that of this package if not given.

    Returns
    -------
    list of ModelCase
        The cases. Pytest names a test after their ids.

    Raises
    ------
    ValueError
        If there is no such profile; a VectorFileError if a file cannot be read or trusted.

    Examples
    --------
    >>> [case.id for case in model_cases("model:mlp")][:3]
    ['mlp-smoke', 'mlp-tanh', 'mlp-tanh-deep']
    """
    if folder is None:
        folder = files(__package__).joinpath("vectors", "models")
    index, found = read_files(folder, MODELS)
    check_profile(profile, index)
    cases = [ModelCase(each) for each in found]
    return [case for case in cases if profile in (None, case.profile)]


# Releases.

_FILE = "releases.json"
_README = """# Vectors for Lookahead, release {release}

Files in the format {version}. `index.json` lists them; `smoke.json` is where to start. Each
value is an IEEE-754 bit string; a case passes where |got - expected| <= tolerance. The JSON
Schemas say what a file holds, the specification of lookahead-ref what a case asks.
`MANIFEST` has the SHA-256 of every file, `CHANGES.md` what has changed.
"""


def digests(some: Sequence[Case]) -> dict[str, str]:
    """Return a digest of each case, in 16 hexadecimal digits."""
    written = {case.id: json.dumps(case.data, sort_keys=True).encode() for case in some}
    return {name: hashlib.sha256(data).hexdigest()[:16] for name, data in written.items()}


def released() -> list[dict[str, str]]:
    """Read the releases: case to digest, the first release first."""
    releases: list[dict[str, str]] = []
    for changed in _recorded():
        whole = (releases[-1] if releases else {}) | changed
        releases.append({name: digest for name, digest in whole.items() if digest})
    return releases


def _recorded() -> list[dict[str, str | None]]:
    """Read what each release changed; the digest of a withdrawn case is null."""
    text = files(__package__).joinpath(_FILE).read_text("utf-8")
    recorded: list[dict[str, str | None]] = json.loads(text)["releases"]
    return recorded


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


def record_release() -> int | None:
    """Give the vectors of this package the next number; None if they have one."""
    now = digests(cases())
    found = changes(released()[-1], now)
    if not any(found.values()):
        return None
    changed = {name: now.get(name) for ids in found.values() for name in ids}
    recorded = [*_recorded(), changed]
    content = json.dumps({"releases": recorded}, indent=0) + "\n"
    (Path(__file__).parent / _FILE).write_text(content, encoding="utf-8")
    return len(recorded)


def make_archive(folder: Path) -> Path:
    """Write the archive of the last release, byte for byte the same each time."""
    from lookahead_ref.report.files import write_atomically

    releases = released()
    found = changes(releases[-1], digests(cases()))
    if differ := sum(len(ids) for ids in found.values()):
        raise ValueError(
            f"{differ} cases differ from release {len(releases)}: "
            "--record gives them the next number"
        )
    vectors = Path(str(files(__package__).joinpath("vectors")))
    contents = {
        path.relative_to(vectors).as_posix(): path.read_bytes()
        for path in sorted(vectors.rglob("*.json"))
    }
    readme = _README.format(release=len(releases), version=VERSION)
    contents |= {"README.md": readme.encode(), "CHANGES.md": changelog(releases).encode()}
    digested = {path: hashlib.sha256(data).hexdigest() for path, data in contents.items()}
    manifest = "".join(f"{digest}  {path}\n" for path, digest in digested.items())
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
