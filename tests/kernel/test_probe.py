"""The feature table, against what this machine shows elsewhere."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from dataclasses import fields

import pytest

from sydd.kernel import _numbers, landlock, namespace_probe, prctl, probe, seccomp
from tests.support.forked import in_child


@pytest.fixture(scope="module")
def features() -> probe.Features:
    """Asked once."""
    return probe.probe()


def test_every_feature_is_explained(features: probe.Features) -> None:
    """Name, use and loss of each; the name is the field's."""
    for feature in features:
        assert getattr(features, feature.name) is feature
        assert feature.gives
        assert feature.lost
    assert len(list(features)) == len(fields(features)) - 4


def test_asked_and_by_release_agree(features: probe.Features) -> None:
    """What is found by asking is what this release has, unless a filter hides calls."""
    release = tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])
    for name in ("user_notification", "wait_killable", "sync_wake_up", "addfd", "openat2", "fchmodat2"):
        feature = getattr(features, name)
        since = tuple(int(word) for word in feature.kernel.split("."))
        assert bool(feature) == (release >= since), name


def test_landlock(features: probe.Features) -> None:
    """The same as the module says."""
    assert features.landlock_abi.value == landlock.abi()
    assert features.landlock_rights == landlock.rights_of_abi(landlock.abi())
    assert bool(features.landlock_scopes) == (landlock.abi() >= 6)


def test_private_network(features: probe.Features) -> None:
    """As unshare(1) finds it; where there is none, a setting or a place to look is named."""
    flag = "-n" if namespace_probe.administers() else "-Un"
    made = subprocess.run(["unshare", flag, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert bool(features.private_network) == made
    assert made or "user.max_net_namespaces" in features.private_network.detail
    assert "user.max_net_namespaces" in namespace_probe.why_not(errno.EPERM)


def test_the_own_memory_can_be_read(features: probe.Features) -> None:
    """Nothing forbids that."""
    assert features.process_vm_readv


def test_the_thread_it_uses_leaves_no_filter() -> None:
    """The process is as it was: no filter, no no_new_privs."""
    before = seccomp_lines()
    probe.probe()
    assert seccomp_lines() == before


def seccomp_lines() -> list[str]:
    """What /proc says about filters and privileges of the main thread."""
    with open(f"/proc/{os.getpid()}/status", encoding="ascii") as file:
        return [line for line in file if line.startswith(("Seccomp", "NoNewPrivs"))]


def test_a_session_inside_a_session() -> None:
    """Under a listener of somebody else's it goes by the release, and says so; a hidden call is missing."""

    def run() -> tuple[str, bool, bool]:
        prctl.set_no_new_privs()
        hide = [
            (0x20, 0, 0, 0),
            (0x15, 0, 1, _numbers.FCHMODAT2),
            (0x06, 0, 0, seccomp.RET_ERRNO | errno.ENOSYS),
            (0x06, 0, 0, seccomp.RET_ALLOW),
        ]
        code = b"".join(struct.pack("=HBBI", *line) for line in hide)
        seccomp.set_mode_filter(code, seccomp.FILTER_FLAG_NEW_LISTENER)
        found = probe.probe()
        return found.sync_wake_up.detail, bool(found.fchmodat2), bool(found.openat2)

    assert in_child(run) == ("by release: a listener here allows no second", False, True)
