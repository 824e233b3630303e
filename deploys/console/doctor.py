"""`loomio-pi doctor`: what is wrong, in the order in which to put it right. Changes nothing."""

import argparse
from collections.abc import Iterable, Sequence

from deploys.console import doctor_here, doctor_pi
from deploys.console.doctor_finding import Finding


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code."""
    argparse.ArgumentParser(
        prog="loomio-pi doctor",
        description="Looks at everything that has to be right, from this computer's own programs to the last "
        "drill, and says what is wrong and what to type. What cannot be looked at before something else is "
        "put right is left out. Changes nothing.",
        epilog="Exit codes: 0 all is well, 1 something is not.",
    ).parse_args(arguments)
    findings = doctor_here.Here()
    problems = _tell("this computer", findings.look())
    for operator in findings.operators:
        address = operator.settings.hosts[operator.name].address
        problems += _tell(f"{operator.name} ({address})", doctor_pi.look(operator))
    if problems:
        print("\nPut the first problem right, then look again: loomio-pi doctor")
        return 1
    print("\nAll is well.")
    return 0


def _tell(about: str, findings: Iterable[Finding]) -> int:
    """Print them as they come in; returns how many are problems."""
    print(about, flush=True)
    problems = 0
    for finding in findings:
        print(f"  {'ok     ' if finding.well else 'PROBLEM'}  {finding.text}", flush=True)
        if finding.remedy:
            print(f"           → {finding.remedy}", flush=True)
        problems += not finding.well
    return problems
