"""The command line tells how it is used: help with examples and exit codes, what was meant, completion, uninstall."""

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from resilience_operator.cli import completion, uninstall
from resilience_operator.cli.main import COMMANDS, main
from tests.support.clusters import Body, cluster, held, ours, policy, workload


def said(*words: str) -> tuple[int | str | None, str, str]:
    """Exit code, stdout and stderr of a command line that reads nothing."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code: int | str | None = main(words)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_it_takes_and_says_its_exit_codes(command: str) -> None:
    code, out, _ = said("help", command)
    assert (code, said(command, "--help")) == (0, (0, out, ""))
    examples = out.partition("examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    assert all(one.startswith(f"  kubectl resilience {command}") for one in examples)
    assert "exit code: 0 " in out
    assert out.rstrip().endswith("2 bad input or no access")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["chekc"], "there is no command 'chekc'; did you mean check? (kubectl-resilience help lists all)"),
        (["rollback"], "there is no command 'rollback' (kubectl-resilience help lists all)"),
        (["report", "--outptu=json"], "unrecognized arguments: --outptu=json; did you mean --output?"),
        (["explain", "spred"], None),
    ],
)
def test_a_word_that_is_not_known_is_answered_with_the_one_that_may_be_meant(
    words: list[str], what: str | None
) -> None:
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    if what is None:
        assert err.startswith("there is no rule 'spred'; did you mean spread?")
    else:
        assert err == f"kubectl-resilience: {what}\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["re"], ["report", "retry", "revert", ":4"]),
        (["check", "--fail-on", ""], ["info", "warning", "error", ":0"]),
        (["report", "--out"], ["--output", ":4"]),
        (["explain", "dns"], ["dns-config", ":4"]),
        (["check", "--rule", "coredns-f"], ["coredns-floor", ":0"]),
        (["nosuch", ""], [":4"]),
        (["check", "manifests/"], [":0"]),
    ],
)
def test_kubectl_is_told_what_may_follow(
    words: list[str], found: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert completion.kubectl(words) == 0
    assert capsys.readouterr().out.splitlines() == found


def test_the_script_for_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "kubectl_complete-resilience"
    program.write_text('#!/bin/sh\necho "$@" > "$0.asked"\nprintf "report\\nretry\\n:4\\n"\n')
    program.chmod(0o700)
    typed = (
        f"PATH={tmp_path}:$PATH; {completion.SCRIPTS['bash']}\nCOMP_WORDS=(kubectl-resilience re); COMP_CWORD=1; "
        '_kubectl_resilience; echo "${COMPREPLY[@]}"'
    )
    told = subprocess.run(["bash", "-c", typed], check=True, capture_output=True, text=True, timeout=10)
    assert (told.stdout, (tmp_path / f"{program.name}.asked").read_text()) == ("report retry\n", "re\n")


LEAVES = "leaves their values as they are, but for budgets of its own"


def test_uninstall_says_what_is_held_and_what_to_do_in_which_order() -> None:
    pods = "spec.template.spec.terminationGracePeriodSeconds"
    bodies = [
        held(workload("web", terminationGracePeriodSeconds=35), ("graceful-shutdown", pods, 35, 30)),
        held(
            workload("old", terminationGracePeriodSeconds=35),
            ("graceful-shutdown", pods, 35, 30),
            policy="gone",
        ),
        workload("api"),
        ours("api", "api", policy="q"),
    ]
    rules: Body = {"gracefulShutdown": {}}
    found = cluster(
        [policy("p", onRelease="Revert", deployments=rules), policy("q", deployments=rules), policy("idle")],
        bodies,
    )
    assert list(uninstall.holdings(found)) == [
        "Policy p holds 1 object; deleted, it gives them back (onRelease: Revert).",
        f"Policy q holds 1 object; deleted, it {LEAVES} (onRelease: Retain).",
        "Something is held for policies that are gone: gone.",
    ]
    assert list(uninstall.steps(found)) == [
        """kubectl patch rp q --type=merge -p '{"spec": {"onRelease": "Revert"}}', to have the former values back""",
        "kubectl delete rp --all: waits until everything is given back",
        "kubectl resilience revert gone",
        *uninstall.REMOVE,
    ]
