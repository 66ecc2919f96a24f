"""Models by the names that the command line and the result files use."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lookahead_ref.data import Corpus, Dataset
from lookahead_ref.experiments import plugins
from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.hyperparameters import close_to, option
from lookahead_ref.stepping.backend import BackendUnavailableError
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.stepping.backend import names as backend_names
from lookahead_ref.training import Model
from lookahead_ref.zoo import AWDLSTM, LSTM, MLP, ResNet, resnet

# For a ResNet-20 with 63 % on CIFAR-10, the validation loss is within 0.0010 of that with
# 44,544 examples; with 1,024 it is within 0.005.
_STATISTICS_EXAMPLES = 4096

_OF_AWD_LSTM = (
    *("hidden", "layers", "embedding", "dropout", "input_dropout", "hidden_dropout"),
    *("embedding_dropout", "weight_dropout", "activation_penalty", "temporal_penalty"),
)
OPTIONS = (*_OF_AWD_LSTM, "tied", "statistics_examples")
"""Settings that some models take."""


@dataclass(frozen=True)
class ModelKind:
    """A model's properties that do not depend on the data."""

    make: Callable[[Any, str, Mapping[str, Any]], Model]
    """Called with the data, a backend and the model's options."""
    text: bool = False
    """Whether it reads text rather than labelled examples."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The settings of `OPTIONS` that it takes, with their defaults."""
    batch_size: int = 64
    clip: float = 0.0
    """Default; 0 for none."""
    window: int | None = None
    """Steps of a text's batches, and whether they are random; None: the data decides."""
    random_window: bool | None = None
    backend: str = "numpy"
    """The backend that takes less time for usual runs, compilation included."""


def _mlp(data: Dataset, backend: str, options: Mapping[str, Any]) -> Model:
    inputs = data.train.take(np.arange(1)).inputs
    if inputs.ndim != 2:
        raise ValueError(
            f"model mlp takes inputs of one dimension, got {data.name} with inputs of "
            f"shape {inputs.shape[1:]}: a resnet takes those"
        )
    hidden = options["hidden"]
    sizes = (hidden,) if isinstance(hidden, int) else tuple(hidden)
    return MLP((data.features, *sizes, data.classes), backend=backend)


def _language_model(make: Callable[..., Model]) -> Callable[..., Model]:
    def make_one(data: Corpus, backend: str, options: Mapping[str, Any]) -> Model:
        hidden = options["hidden"]
        if not isinstance(hidden, int):
            if len(hidden) != 1:
                raise ValueError(
                    "hidden must be one number for model lstm or awd-lstm, whose layers "
                    f"have one width, got {', '.join(map(str, hidden))}"
                )
            (hidden,) = hidden
        return make(len(data.vocabulary), **{**options, "hidden": hidden}, backend=backend)

    return make_one


def _resnet(build: Callable[..., ResNet]) -> ModelKind:
    def make_one(data: Dataset, backend: str, options: Mapping[str, Any]) -> Model:
        if data.image_shape is None:
            raise ValueError(
                f"a resnet takes data with an image_shape, {data.name} has none"
            )
        return replace(build(data.image_shape, data.classes, backend=backend), **options)

    examples = {"statistics_examples": _STATISTICS_EXAMPLES}
    return ModelKind(make_one, options=examples, batch_size=128, backend="numba")


MODELS: Mapping[str, ModelKind] = {
    "mlp": ModelKind(_mlp, options={"hidden": (64, 64)}),
    "lstm": ModelKind(
        _language_model(LSTM),
        text=True,
        options={"hidden": 200, "layers": 2, "dropout": 0.0, "tied": False},
        batch_size=20,
        clip=0.25,
        backend="numba",
    ),
    "awd-lstm": ModelKind(
        _language_model(AWDLSTM),
        text=True,
        options={name: getattr(AWDLSTM, name) for name in _OF_AWD_LSTM},
        batch_size=20,
        clip=0.25,
        window=70,
        random_window=True,
        backend="numba",
    ),
    **{f"resnet{n}": _resnet(getattr(resnet, f"resnet{n}")) for n in (8, 18, 32, 50, 152)},
}
"""Models by name; each is made to fit the data."""


def defaults(name: str) -> ModelKind:
    """Look up a model in `MODELS` or the user's own."""
    if name in MODELS:
        return MODELS[name]
    if plugins.is_plugin(name):
        return ModelKind(lambda data, _backend, _options: plugins.load_model(name, data))
    raise ValueError(
        f"model must be one of {', '.join(MODELS)}, module:name or file.py:name; "
        f"got {name!r}{close_to(name, MODELS)}"
    )


def backend(settings: TrainSettings) -> str:
    """Return the name of a run's backend; for auto, the model's, if it is installed."""
    if settings.backend != "auto":
        return option("backend", settings.backend, ("auto", *backend_names()))
    with suppress(BackendUnavailableError):
        return load_backend(defaults(settings.model).backend).name
    return "numpy"


def make(name: str, data: Any, backend: str, options: Mapping[str, Any]) -> Model:
    """Make a model that fits the data, from values of all its options."""
    kind = defaults(name)
    if name in MODELS:
        text = hasattr(data, "vocabulary")
        if kind.text != text:
            wanted = "text, as in pydoc" if kind.text else "labelled examples, as in digits"
            got = "a text" if text else "no text"
            raise ValueError(
                f"model {name} must be given {wanted}; data {data.name!r} is {got}"
            )
    return kind.make(data, backend, options)
