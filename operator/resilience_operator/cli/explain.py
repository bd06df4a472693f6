"""`kubectl-resilience explain`: what a rule demands, why, and the way out. Called by cli/main.

docs/rules.md is printed from here (`explain --markdown`); a test fails on a difference.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from textwrap import fill

from resilience_operator.cli.naming import close
from resilience_operator.cli.policies import recommended_text
from resilience_operator.cli.rule_texts import TEXTS
from resilience_operator.core.findings import RuleText
from resilience_operator.engine.gitops import REASONS
from resilience_operator.policy.crd import printed
from resilience_operator.targets import CATALOG
from resilience_operator.targets.bottlerocket.docs import page

WIDTH = 100
OPT_OUT = (
    "label {bearer} resilience.dev/ignore={rule} (or =all), or annotate it "
    'resilience.dev/ignore: "{rule}"; resilience.dev/ignore-until: "2026-12-31" ends it after that day, and '
    "resilience.dev/ignore-reason says why."
)
OPT_OUT_LAUNCH = (
    'annotate the EC2NodeClass or NodePool resilience.dev/ignore: "{rule}"; resilience.dev/ignore-until and '
    "resilience.dev/ignore-reason hold as for a Deployment. A file of user data has no opt-out: leave it out of PATH."
)
_HEAD = """# Rules

Printed by `kubectl-resilience explain --markdown`; do not edit. Each rule answers a production incident, is asked \
for by its field in a ResiliencePolicy, and says in `kubectl-resilience check`, in the policy's status and in Events \
the same with the same words. `check` calls a finding a warning, and info where it is only ever reported, \
unless the table of its rule says otherwise.
"""
_GITOPS = f"""## Argo CD

Where an object belongs to an Argo CD Application, every rule that is enforced may also give one of these, \
always reported only (docs/gitops.md).

| reason | meaning |
|---|---|
{chr(10).join(f"| `{reason}` | {meaning} |" for reason, meaning in REASONS.items())}
"""


def add_arguments(parser: ArgumentParser) -> None:
    """The command's flags."""
    add = parser.add_argument
    add("rule", nargs="?", metavar="RULE", help="one rule; all of them if left out")
    add("--policy", dest="show_policy", action="store_true", help="print the recommended policy")
    add(
        "--bottlerocket",
        action="store_true",
        help="print docs/bottlerocket.md: launch settings and their values",
    )
    add("--crd", dest="show_crd", action="store_true", help="print the CustomResourceDefinition of a policy")
    add("--markdown", action="store_true", help="as docs/rules.md")


def run(arguments: Namespace) -> int:
    """Print what is asked for; 2 where there is no such rule."""
    if arguments.show_crd:
        print(printed(CATALOG), end="")
        return 0
    if arguments.show_policy:
        print(recommended_text(), end="")
        return 0
    if arguments.bottlerocket:
        print(page())
        return 0
    if arguments.rule and arguments.rule not in TEXTS:
        near = close(arguments.rule, TEXTS) or "; there are " + ", ".join(TEXTS)
        print(f"there is no rule {arguments.rule!r}{near}", file=sys.stderr)
        return 2
    texts = [TEXTS[rule] for rule in ([arguments.rule] if arguments.rule else TEXTS)]
    print(markdown(texts) if arguments.markdown else "\n\n".join(map(plain, texts)))
    return 0


def plain(text: RuleText) -> str:
    """A rule for a terminal."""
    reasons = [_wrap(f"{_named(reason, text)}: {meaning}", "  ") for reason, meaning in text.reasons.items()]
    return "\n".join(
        [
            f"{text.rule}: {text.title}",
            f"  incident {text.incident}, {_asked(text)}",
            "",
            *_titled("demands", text.demands),
            *_titled("why", text.why),
            "reasons",
            *reasons,
            "",
            "reported, and never enforced, with",
            *(_wrap(f"- {why}", "  ") for why in text.never_enforced),
            "",
            *_titled("opting out", _opt_out(text)),
        ]
    ).rstrip()


def _named(reason: str, text: RuleText) -> str:
    return f"{reason} ({text.severities[reason]})" if reason in text.severities else reason


def _asked(text: RuleText, quote: str = "") -> str:
    if not text.section:
        return "judged in files by `check`; no policy asks for it yet"
    return f"asked for in {quote}spec.{text.section}{quote}"


def _opt_out(text: RuleText) -> str:
    return (OPT_OUT if text.section else OPT_OUT_LAUNCH).format(rule=text.rule, bearer=text.opts_out)


def _titled(title: str, words: str) -> Iterator[str]:
    yield title
    yield _wrap(words, "  ")
    yield ""


def _wrap(words: str, indent: str) -> str:
    return fill(
        words,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def markdown(texts: list[RuleText]) -> str:
    """All rules as docs/rules.md."""
    return "\n".join([_HEAD, *(_section(text) for text in texts), _GITOPS]).rstrip()


def _section(text: RuleText) -> str:
    reasons = "\n".join(
        f"| `{reason}` | {text.severities.get(reason, '')} | {meaning} |"
        for reason, meaning in text.reasons.items()
    )
    never = "\n".join(f"- {why}" for why in text.never_enforced)
    return f"""## `{text.rule}`: {text.title}

Incident `{text.incident}`; {_asked(text, "`")}.

**Demands.** {text.demands}

**Why.** {text.why}

| reason | severity | meaning |
|---|---|---|
{reasons}

Reported, and never enforced, with

{never}

**Opting out:** {_opt_out(text)}
"""
