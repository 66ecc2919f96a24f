"""What was measured: times, and ratios of them with what they must reach."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from lookahead_ref.bench.turns import Clock, Contestant, ratio, take_turns, wall

__all__ = ["Bar", "Results", "Timing", "Turns", "quartiles"]


@dataclass(frozen=True)
class Timing:
    """What a contestant took.

    Parameters
    ----------
    section, parameters, optimizer, method, kind : str
        What was measured.
    seconds : float
        Median of a step.
    low, high : float
        Its quartiles.
    bytes_moved : float
        What a step must move.
    core_latency : float, optional
        As for `Bar`.
    """

    section: str
    parameters: str
    optimizer: str
    method: str
    kind: str
    seconds: float
    low: float
    high: float
    bytes_moved: float
    core_latency: float | None = None


@dataclass(frozen=True)
class Bar:
    """A measure, and what it must reach.

    Parameters
    ----------
    section, parameters, optimizer, measure : str
        What it is.
    value : float
        The median, of ratios taken turn by turn where it is a ratio.
    low, high : float
        The quartiles.
    bar : float
        What it must reach.
    least : bool, default: False
        Whether the bar is the least that it may be, and not the most.
    beside : str, default: ""
        What it was compared with, where that was chosen by what was measured.
    core_latency : float, optional
        How long a line of the cache took from core to core, in seconds: the median over the
        rounds of turns, where that was measured.
    """

    section: str
    parameters: str
    optimizer: str
    measure: str
    value: float
    low: float
    high: float
    bar: float
    least: bool = False
    beside: str = ""
    core_latency: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.value >= self.bar if self.least else self.value <= self.bar


@dataclass
class Results:
    """What was measured so far, and why which sections were not."""

    timings: list[Timing] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


class Turns:
    """Contestants of one comparison, timed; ratios of them become bars.

    Parameters
    ----------
    results : Results
        Where what is found is added.
    section, parameters, optimizer : str
        What is compared.
    clock : callable, default: `wall`
        What measures time.
    core_latency : callable, optional
        What measures how far apart cores are, where that tells something.
    """

    def __init__(
        self,
        results: Results,
        section: str,
        parameters: str,
        optimizer: str,
        clock: Clock = wall,
        core_latency: Callable[[], float | None] | None = None,
    ) -> None:
        self._results = results
        self._clock = clock
        self._measure = core_latency
        self._core_latency: float | None = None
        self._where = (section, parameters, optimizer)
        self._times: dict[str, list[float]] = {}

    def run(self, contestants: dict[str, Contestant], repeats: int, seconds: float) -> None:
        """Time the contestants.

        Parameters
        ----------
        contestants : dict
            Name to contestant.
        repeats : int
            The number of turns of each.
        seconds : float
            How long a turn is to last at least.
        """
        latencies: list[float | None] = []
        measure = self._measure
        self._times = take_turns(
            contestants,
            repeats=repeats,
            seconds=seconds,
            clock=self._clock,
            before=measure and (lambda: latencies.append(measure())),
        )
        known = [each for each in latencies if each is not None]
        self._core_latency = statistics.median(known) if known else None
        for name, each in contestants.items():
            low, middle, high = quartiles(self._times[name])
            self._results.timings.append(
                Timing(
                    *self._where,
                    name,
                    each.kind,
                    middle,
                    low,
                    high,
                    each.bytes_moved,
                    self._core_latency,
                )
            )

    def fastest(self, names: list[str]) -> str:
        """Return the contestant whose median is the least.

        Parameters
        ----------
        names : list of str
            Those to choose from.

        Returns
        -------
        str
            Its name.
        """
        return min(names, key=lambda name: statistics.median(self._times[name]))

    def bar(
        self,
        measure: str,
        of: str,
        to: str,
        bar: float,
        *,
        scale: float = 1.0,
        least: bool = False,
        beside: str = "",
    ) -> None:
        """Add the ratio of the times of two contestants, and what it must reach.

        Parameters
        ----------
        measure : str
            What it is.
        of, to : str
            The contestants.
        bar : float
            What it must reach.
        scale : float, default: 1.0
            What the ratio is multiplied by.
        least : bool, default: False
            Whether the bar is the least that it may be.
        beside : str, default: ""
            As for `Bar`.
        """
        value, low, high = [
            scale * each for each in ratio(self._times[of], self._times[to])
        ]
        self._results.bars.append(
            Bar(
                *self._where,
                measure,
                value,
                low,
                high,
                bar,
                least,
                beside,
                self._core_latency,
            )
        )


def quartiles(times: list[float]) -> tuple[float, float, float]:
    """Return the lower quartile of times, their median and the upper quartile.

    Parameters
    ----------
    times : list of float
        The times.

    Returns
    -------
    (float, float, float)
        The quartiles; of fewer than three times, the least and the greatest stand for them.
    """
    if len(times) < 3:
        return min(times), statistics.median(times), max(times)
    low, middle, high = statistics.quantiles(times, n=4)
    return low, middle, high
