"""Run the suite on a target: one verdict for each case and precision, whatever happens."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lookahead_ref.conformance.judging import Observation, Verdict, judge
from lookahead_ref.conformance.process import DiedError, StartError
from lookahead_ref.conformance.protocol import TargetError, UnsupportedError
from lookahead_ref.conformance.targets import Target
from lookahead_ref.conformance.vectors import Case

__all__ = ["Result", "Status", "run"]

Status = Literal["passed", "departed", "failed", "unsupported"]

PATIENCE = 10
"""Cases in a row at which it died or hung, after which the rest is not tried."""


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
                in_a_row = in_a_row + 1 if broken else 0
            else:
                reason = f"not tried: it broke at {PATIENCE} cases in a row"
                result = Result(case, dtype, "failed", reason)
            results.append(result)
            if progress is not None:
                progress(result)
    return results


def _one(target: Target, case: Case, dtype: str, level: str) -> tuple[Result, bool]:
    """Run a case; return its result, and whether the target broke at it."""
    try:
        seen = target.observe(case, dtype)
    except UnsupportedError as error:
        return Result(case, dtype, "unsupported", str(error)), False
    except StartError as error:
        reason = f"it could not be started again: {error}"
        return Result(case, dtype, "failed", reason), True
    except TargetError as error:
        return Result(case, dtype, "failed", str(error)), isinstance(error, DiedError)
    verdict = judge(case, seen, dtype, level)
    status: Status = "passed" if verdict.passed else "departed"
    return Result(case, dtype, status, "", verdict, seen), False


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
