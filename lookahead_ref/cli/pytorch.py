"""``conform TARGET --profile pytorch``: a Lookahead in the hands of PyTorch's users."""

import typer

from lookahead_ref.cli.terminal import console, print_json, reported


def judge(target: str | None, *, as_json: bool) -> None:
    """Print a verdict for each way of use, and what to do where one departs."""
    with reported():
        from lookahead_ref.extras import require

        require("torch", "peers", purpose="take a Lookahead through PyTorch's ways of use")
        from rich.text import Text

        from lookahead_ref.conformance.adapters.pytorch_use import CHECKS, checked

        if target is None:
            raise ValueError("--profile pytorch needs TARGET, such as my_file.py:Lookahead")
        found = checked(target)
    departs = [each for each in found if each.verdict == "departs"]
    passes = sum(each.verdict == "passes" for each in found)
    if as_json:
        print_json({"target": target, "checks": [each._asdict() for each in found]})
    else:
        styles = {"passes": "green", "departs": "bold red"}
        for each in found:
            name = Text(f"{each.name:25}")
            verdict = Text(f"{each.verdict:13}", styles.get(each.verdict, "yellow"))
            console().print(name + verdict + Text(each.says))
        for fix in dict.fromkeys(each.fix for each in departs):
            names = ", ".join(each.name for each in departs if each.fix == fix)
            console().print(Text(f"{names}: {fix}."))
        console().print(f"{target}: {passes} of {len(CHECKS)} ways of use hold")
    if departs:
        raise typer.Exit(1)
