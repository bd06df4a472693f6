"""What the validator says, as a whole: key, value, reason, way out, line."""

import contextlib
import time
from pathlib import Path

import pytest

from resilience_operator.cli.launch import looks_like_user_data, read_user_data
from resilience_operator.targets.bottlerocket.merge import MergeRefusedError, merge
from resilience_operator.targets.bottlerocket.problems import REASONS, Judge, Reader, Surroundings
from resilience_operator.targets.bottlerocket.table import settings
from resilience_operator.targets.bottlerocket.validate import validate

FULL = """[settings.kubernetes.eviction-hard]
"memory.available" = "100Mi"
"nodefs.available" = "10%"
"nodefs.inodesFree" = "5%"
"imagefs.available" = "15%"
"imagefs.inodesFree" = "5%"
"""


def said(text: str, around: Surroundings = Surroundings()) -> list[tuple[str, int]]:  # noqa: B008
    return [(one.reason, one.line) for one in validate(text, around)]


def test_an_unknown_key_is_named_with_the_consequence_and_the_key_that_was_meant() -> None:
    (one,) = validate("[settings.kernel]\n\nlockdwn = 'none'\n")
    assert (one.key, one.line, one.message) == (
        "settings.kernel.lockdwn",
        3,
        (
            'settings.kernel.lockdwn = "none": is no setting of a Kubernetes node: Bottlerocket refuses the whole '
            'user data, and the node never joins; write "lockdown"'
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FULL, []),
        (
            "[settings]\n[settings.kubernetes.eviction-hard]\n'memory.available'='5%'\n",
            [("PartialEviction", 2)],
        ),
        ("[settings.kubernetes.eviction-hard]\n", [("EmptyEviction", 1)]),
        (
            FULL + "[settings.kubernetes.eviction-soft]\n'memory.available'='200Mi'\n",
            [("SoftWithoutGrace", 8)],
        ),
        (
            FULL + "[settings.kubernetes.eviction-soft]\n'nodefs.available'='9%'\n"
            "[settings.kubernetes.eviction-soft-grace-period]\n'nodefs.available'='1m'\n",
            [("SoftBelowHard", 8)],
        ),
        (
            "[settings.kubernetes.eviction-soft-grace-period]\n'pid.available'='1m'\n",
            [("GraceWithoutSoft", 2)],
        ),
        ("[settings.kernel.sysctl]\n'kernel.panic' = '5'\n", [("ProtectedSysctl", 2)]),
        ("[settings.kernel.sysctl]\n'kernel/panic' = '10'\n", []),
        ("[settings.kernel.modules.dm]\nautoload = true\n", [("ModuleNotAllowed", 2)]),
        ("[settings.kubernetes]\nimage-gc-high-threshold-percent = '75'\n", [("KubeletRefuses", 2)]),
        ("[settings.kubernetes.kube-reserved]\nmemory = '1K'\n", [("KubeletRefuses", 2)]),
        ("[settings.kubernetes]\nimage-gc-high-threshold-percent = 85\n", [("KarpenterRejects", 2)]),
        ("[settings.kubernetes]\nreserved-cpus = '0-1'\n", [("KarpenterDrops", 2)]),
        ("[settings.kernel.sysctl]\nvm.swappiness = '1'\n", [("UnquotedKey", 2)]),
        ("[settings.kernel]\nlockdown = ${lockdown}\n", [("TemplatePlaceholder", 2)]),
        ("[settings]\nmotd = '${motd}'\n", [("TemplatePlaceholder", 2)]),
        ("[settings]\n# ${of a comment}\n", []),
        ("MIME-Version: 1.0\n\n[settings]\n", [("NotTOML", 1)]),
        ("", [("NoSettings", 1)]),
        ("\ufeff[settings]\n", [("KarpenterRejects", 1)]),
        ("[settings]\nmotd = '" + "x" * 13000 + "'\n", [("TooLarge", 1)]),
        ('[settings.foo."a.b"]\n', [("UnknownSetting", 1), ("EKSRejects", 1)]),
        ('[settings]\nmotd = "say \\"hi\\""\n', [("EKSRejects", 2)]),
        ("[settings.host-containers.admin]\nenabled = 'true'\n", [("WrongValue", 2)]),
        (
            "[[settings.container-registry.credentials]]\nregistry='r'\npassword='p'\n",
            [("SecretInUserData", 3)],
        ),
        ("[settings.container-registry.mirrors]\n'docker.io' = ['https://mirror']\n", []),
        (
            "[[settings.container-registry.mirrors]]\nregistry='*'\nendpoints=['https://m']\n",
            [("UnknownSetting", 3)],
        ),
        ("[settings.network]\nhosts = [['10.0.0.1', ['a.b']]]\n", [("EKSRejects", 2)]),
        ("[settings.bootstrap-commands.a]\ncommands = [['sh']]\n", [("WrongValue", 2)]),
    ],
)
def test_each_mistake_is_found_on_its_line(text: str, expected: list[tuple[str, int]]) -> None:
    assert said(text) == expected


def test_what_the_documentation_shows_has_no_finding() -> None:
    text = (Path(__file__).parent / "documented.toml").read_text(encoding="utf-8")
    assert [one.message for one in validate(text)] == []


def test_a_list_of_several_types_is_named_by_its_place() -> None:
    (one,) = validate("[settings.network]\nhosts = [\n  ['10.0.0.1', ['a.b']],\n]\n")
    assert (one.line, one.message) == (
        3,
        "settings.network.hosts.0 is a list of several types: EKS does not read that in a managed node group",
    )


@pytest.mark.parametrize(
    "line",
    [
        'kubernetes.allowed-unsafe-sysctls = "net.core.somaxconn"',
        "oci-defaults.capabilities.sys-root = true",
        "oci-defaults.resource-limits.max-files.hard-limit = 1",
        'oci-defaults.resource-limits.max-open-files.hard-limit = "many"',
        'kernel.drivers.nvidia.branch = "beta"',
        'ntp.time-servers = "169.254.169.123"',
        'ntp.time-servers = ["a b"]',
        'ntp.time-servers = [{ directive = "pool" }]',
        'network.hosts = [["10.0.0.1", "a.b"]]',
        'dns.name-servers = ["one"]',
        'kubernetes.reserved-cpus = "0-"',
        'kubernetes.cluster-domain = "10.0.0.1"',
        'updates.version-lock = "newest"',
        'metrics.service-checks = ["a", 1]',
        "kubernetes.log-level = 256",
        "kubernetes.max-pods = -1",
        "kubernetes.seccomp-default = 1",
        'pki.bundle.data = "YQ"',
        'boot.kernel-parameters.console = "tty0"',
        'kernel.hugepages.static.3Zi.count = "1"',
        "ecs.cluster = 'x'",
        "kernel.hugepages.static.2Mi = {}",
        "kernel.drivers.nvidia = {}",
    ],
)
def test_what_the_model_would_refuse_elsewhere_is_found(line: str) -> None:
    (one,) = [one for one in validate(f"settings.{line}\n") if one.judges != {Judge.EKS}]
    assert (one.line, Judge.BOTTLEROCKET in one.judges) == (1, True)


def test_a_key_newer_than_the_ami_stops_every_new_node() -> None:
    text = "[settings.kubernetes]\nmemory-swap-behavior = 'NoSwap'\n"
    old = Surroundings(Reader.EKS, release=(1, 16, 1))
    (one,) = validate(text, old)
    assert one.message == (
        'settings.kubernetes.memory-swap-behavior = "NoSwap": known from release 1.42.0 on, and the AMI is 1.16.1: '
        "Bottlerocket refuses the whole user data, and the node never joins; take a newer AMI first"
    )
    assert said(text, Surroundings(Reader.EKS, release=(1, 42, 0))) == []


def test_a_partial_map_is_no_mistake_where_the_release_merges_it() -> None:
    text = "[settings.kubernetes.eviction-hard]\n'memory.available'='5%'\n"
    assert said(text, Surroundings(release=(1, 69, 0))) == []


def test_what_karpenter_keeps_depends_on_its_release() -> None:
    text = "[settings.kubernetes]\nlog-level = 2\n"
    assert said(text, Surroundings(Reader.KARPENTER, karpenter=(1, 8, 0))) == [("KarpenterDrops", 2)]
    assert said(text, Surroundings(Reader.KARPENTER, karpenter=(1, 9, 0))) == []


def test_only_who_reads_it_minds() -> None:
    text = "[settings.kubernetes]\ncluster-name = 'c'\nimage-gc-high-threshold-percent = 85\n"
    assert said(text, Surroundings(Reader.EKS)) == []
    assert said(text, Surroundings(Reader.KARPENTER)) == [("KarpenterOverrides", 2), ("KarpenterRejects", 3)]


def test_a_root_key_beside_a_header_is_refused_by_old_releases_alone() -> None:
    text = "settings.motd = 'x'\n[settings.kernel]\nlockdown = 'none'\n"
    assert said(text, Surroundings(release=(1, 19, 0))) == [("KeysBesideHeaders", 1)]
    assert said(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "a = " + "[" * 5000,
        "x = " + "9" * 5000,
        "\x00",
        '[settings]\nmotd = "' + "\\" * 9001,
        "[settings.a\ud800]",
    ],
)
def test_hostile_text_is_found_and_never_raises(text: str) -> None:
    assert validate(text)


def test_every_reason_is_explained() -> None:
    assert {"NotTOML", "UnknownSetting", "KarpenterDrops"} <= set(REASONS)
    assert len({one.key for one in settings()}) == len(settings())


HOSTILE = {
    "keys": "[settings]\n" + "".join(f"k{number}=1\n" for number in range(7000)),
    "tables": "".join(f"[settings.t{number}]\n" for number in range(3000)),
    "list": "[settings]\nmotd = [" + "[1,'a']," * 7000 + "]\n",
    "braces": "settings = {" + ", ".join(f"k{number} = 1" for number in range(4500)) + "}\n",
    "dots": "settings." + ".".join("a" * 25000) + " = 1\n",
    "number": "[settings.kubernetes]\nreserved-cpus = '" + "1" * 60000 + "'\n",
    "quantity": "[settings.kubernetes]\ncontainer-log-max-size = '" + "1." * 30000 + "!'\n",
    "blank": "[settings\n" + "\n" * 60000,
    "big": "[settings]\n" + "k = 1\n" * 1_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_somebody_can_write_takes_long(text: str) -> None:
    began = time.process_time()
    assert validate(text)
    with contextlib.suppress(MergeRefusedError):
        merge(text, {"settings": {"kernel": {"lockdown": "none"}, "motd": "x"}})
    read_user_data(text, "a.toml")
    looks_like_user_data("\n" * 100_000 + "#\n" * 100_000 + text)
    assert time.process_time() - began < 10
