"""Run the suite on a target: one verdict for each case and precision, whatever happens."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lookahead_ref.conformance.judging import Observation, Trajectory, Verdict, judge
from lookahead_ref.conformance.process import DiedError, HungError, StartError
from lookahead_ref.conformance.protocol import TargetError, UnsupportedError
from lookahead_ref.conformance.targets import Target
from lookahead_ref.conformance.vectors import Case
from lookahead_ref.conformance.wire import told

__all__ = ["Result", "Status", "run"]

Status = Literal["passed", "departed", "failed", "unsupported"]

PATIENCE = 12
"""Cases in a row at which it broke, after which the rest is not tried."""

_HUNG = 3  # to hang counts as so many: it takes as long


@dataclass(frozen=True)
class Result:
    """What came of a case in one precision.

    Parameters
    ----------
    case : Case
        The case.
    dtype : str
        The precision.
    status : {"passed", "departed", "failed", "unsupported"}
        Passed or departed as judged; failed where there was nothing to judge;
        unsupported where the target does not offer it.
    reason : str
        Why it failed or is unsupported.
    verdict : Verdict or None
        The judgement.
    seen : Observation or None
        All that was observed.
    """

    case: Case
    dtype: str
    status: Status
    reason: str = ""
    verdict: Verdict | None = None
    seen: Observation | None = field(default=None, repr=False)


def run(
    target: Target,
    cases: Sequence[Case],
    *,
    dtypes: Sequence[str] = ("float32", "float64"),
    level: str = "strict",
    progress: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run cases on a target.

    Parameters
    ----------
    target : Target
        The target.
    cases : sequence of Case
        The cases.
    dtypes : sequence of str
        The precisions; a case is run in those that it is for.
    level : {"strict", "gpu"}, default: "strict"
        What is admitted.
    progress : callable, optional
        Called with each result.

    Returns
    -------
    list of Result
        One for each case and precision, in order.
    """
    results = []
    in_a_row = 0
    for case in cases:
        for dtype in dtypes:
            if dtype not in case.dtypes:
                continue
            if in_a_row < PATIENCE:
                result, broken = _one(target, case, dtype, level)
                in_a_row = in_a_row + broken if broken else 0
            else:
                reason = "not tried: it broke at all of the last cases"
                result = Result(case, dtype, "failed", reason)
            results.append(result)
            if progress is not None:
                progress(result)
    return results


def _one(target: Target, case: Case, dtype: str, level: str) -> tuple[Result, int]:
    """Run a case; return its result, and how badly the target broke at it."""
    try:
        seen = target.observe(case, dtype)
        _check_slots(case, seen)
    except UnsupportedError as error:
        return Result(case, dtype, "unsupported", str(error)), 0
    except StartError as error:
        reason = f"it could not be started again: {error}"
        return Result(case, dtype, "failed", reason), 1
    except TargetError as error:
        died = _HUNG if isinstance(error, HungError) else isinstance(error, DiedError)
        return Result(case, dtype, "failed", str(error)), int(died)
    verdict = judge(case, seen, dtype, level)
    status: Status = "passed" if verdict.passed else "departed"
    return Result(case, dtype, status, "", verdict, seen), 0


def _check_slots(case: Case, seen: Observation) -> None:
    """Refuse slots by other names: what is not compared must not seem to be."""
    known = case.outcomes[0].slots
    for trajectory in (seen.steps, seen.resumed or Trajectory()):
        for name in {name for shown in trajectory.slots for name in shown}:
            if name not in known:
                raise TargetError(
                    f"slots of {case.data['inner']['rule']} are named "
                    f"{', '.join(known) or 'nothing: it has none'}, got {told(name)!r}"
                )


def matrix(results: Sequence[Result]) -> dict[str, Counter[Status]]:
    """Count verdicts by profile.

    Parameters
    ----------
    results : sequence of Result
        The results.

    Returns
    -------
    dict
        Profile, in the order of the suite, to the number of results of each status.
    """
    counts: dict[str, Counter[Status]] = {}
    for result in results:
        counts.setdefault(result.case.profile, Counter())[result.status] += 1
    return counts
