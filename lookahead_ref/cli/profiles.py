"""``conform TARGET --profile pytorch``, ``jax`` or ``keras``: a target as it is used."""

from importlib import import_module

import typer

from lookahead_ref.cli.terminal import console, print_json, reported

PROFILES = {"pytorch": "torch", "jax": "optax", "keras": "keras"}
"""Profile to the module that it needs."""


def judge(target: str | None, profile: str, *, as_json: bool) -> None:
    """Print a verdict for each way of use, and how to fix those that fail."""
    with reported():
        from lookahead_ref.conformance.adapters import check_name
        from lookahead_ref.extras import require

        if target is None:
            raise ValueError(f"--profile {profile} needs TARGET: my_file.py:Lookahead")
        check_name(target)  # a typo before what is not installed
        require(PROFILES[profile], "ports", purpose=f"take the profile {profile}")
        from rich.text import Text

        from lookahead_ref.conformance.summary import UNJUDGED

        module = f"lookahead_ref.conformance.adapters.{profile}_profile"
        found = import_module(module).checked(target)
    fails = [each for each in found if each.verdict == "fails"]
    passes = sum(each.verdict == "passes" for each in found)
    offered = sum(each.verdict != "not offered" for each in found)
    if as_json:
        print_json({"target": target, "checks": [each._asdict() for each in found]})
    else:
        styles = {"passes": "green", "fails": "bold red"}
        for each in found:
            name = Text(f"{each.name:25}")
            verdict = Text(f"{each.verdict:13}", styles.get(each.verdict, "yellow"))
            console().print(name + verdict + Text(each.says))
        for fix in dict.fromkeys(each.fix for each in fails):
            names = ", ".join(each.name for each in fails if each.fix == fix)
            console().print(Text(f"{names}: {fix}."))
        console().print(f"{target}: {passes} of {offered} ways of use work")
    if fails or any(each.verdict == "not judged" for each in found):
        raise typer.Exit(1 if fails else UNJUDGED)
