"""The block at the end, as text made from events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sydctl.block import MAXIMUM_SHOWN, line, render
from sydd.supervisor.event import NO_RULE, Event
from sydd.supervisor.tasks import Ancestor, Process

PROCESS = Process(
    12, 12, "cc1", "/usr/lib/cc1", ("cc1", "-o", "a b"), "/w", (Ancestor(11, "cc"), Ancestor(10, "make"))
)
EVENT = Event(
    sequence=1,
    time=0.0,
    session="build-1",
    profile="build",
    enforced=True,
    action="deny",
    access="modify",
    syscall="openat",
    given="../x",
    path="/home/u/x",
    errno="EACCES",
    process=PROCESS,
    rule="deny write ${home}/x",
    rule_source="p.toml:3:4",
    allow="allow modify ${home}/x",
)


def test_nothing_is_said_of_nothing() -> None:
    """No events, no block."""
    assert render([], 80, colour=False) == ""


def test_one_event() -> None:
    """Everything that is known, once."""
    assert render([EVENT], 0, colour=False) == (
        "sydd: 1 access denied under profile build\n"
        "  deny modify /home/u/x  (openat: EACCES)\n"
        "    as given:    ../x\n"
        "    process:     cc1[12]: cc1 -o 'a b', from cc[11] < make[10]\n"
        "    rule:        deny write ${home}/x  (p.toml:3:4)\n"
        "    to allow it: allow modify ${home}/x\n"
    )


def test_what_was_decided() -> None:
    """Where the rule says `ask`, after the rule."""
    text = render([replace(EVENT, action="ask", decision="nobody to ask")], 0, colour=False)
    assert "(p.toml:3:4)\n    decision:    nobody to ask\n    to allow it:" in text


def test_counts() -> None:
    """Repeated ones are counted in the heading and at their line; the singular is right."""
    text = render([EVENT.counted(3), replace(EVENT, path="/y")], 0, colour=False)
    assert text.startswith("sydd: 4 accesses denied under profile build\n")
    assert "  deny modify /home/u/x  (openat: EACCES)  ×3\n" in text


def test_what_is_missing_is_left_out() -> None:
    """No given path where it is the same, no allowing line where there is none, no source of the default."""
    event = replace(EVENT, given="/home/u/x", allow="", rule=NO_RULE, rule_source="")
    assert render([event], 0, colour=False).splitlines()[2:] == [
        "    process:     cc1[12]: cc1 -o 'a b', from cc[11] < make[10]",
        "    rule:        no rule: default",
    ]


def test_a_refused_call() -> None:
    """A call that is refused as such is named itself."""
    event = replace(EVENT, access="", syscall="mount", path="", given="", errno="EPERM")
    assert "  deny mount  (mount: EPERM)\n" in render([event], 0, colour=False)


def test_warnings_and_records() -> None:
    """What was let pass is not called denied."""
    warned = replace(EVENT, action="warn", errno="")
    recorded = replace(EVENT, enforced=False, errno="")
    assert "sydd: 1 access reported and allowed under profile build\n" in render([warned], 0, colour=False)
    text = render([recorded], 0, colour=False)
    assert text.startswith("sydd: 1 access recorded, none stopped (mode is audit) under profile build\n")
    assert "  would deny modify /home/u/x  (openat)\n" in text
    both = render([EVENT, warned], 0, colour=False)
    assert both.startswith("sydd: 1 access denied, 1 access reported and allowed under profile build\n")


def test_many() -> None:
    """After twenty it says how many more, and where they are; what was only counted is told too."""
    events = [replace(EVENT, path=f"/{number}") for number in range(MAXIMUM_SHOWN + 5)]
    lines = render(events, 0, colour=False, dropped=2).splitlines()
    assert lines[-2:] == [
        "  … and 5 more; --events FILE has all",
        "  … and 2 accesses of further kinds, which were only counted",
    ]
    assert sum(text.startswith("  deny ") for text in lines) == MAXIMUM_SHOWN


def test_only_arguments_are_shortened() -> None:
    """A path and a rule are of no use cut; a command line is."""
    process = replace(PROCESS, argv=("cc1", "x" * 500))
    event = replace(EVENT, path="/" + "y" * 300, process=process)
    lines = render([event], 80, colour=False).splitlines()
    assert lines[1] == f"  deny modify /{'y' * 300}  (openat: EACCES)"
    assert len(lines[3]) == 80
    assert "…, from cc[11] < make[10]" in lines[3]


def net(path: str, access: str = "connect", **more: Any) -> Event:
    """An event about an address."""
    return replace(EVENT, **{"access": access, "syscall": access, "given": "", "path": path, **more})


def test_what_an_address_is_called() -> None:
    """Host and service, in the block and in the one line; nothing where neither is known."""
    event = net("151.101.0.223!443", host="pypi.org", service="https")
    assert "    known as:    pypi.org, https\n" in render([event], 0, colour=False)
    assert line(event).startswith("sydd: deny connect 151.101.0.223!443 (pypi.org, https): cc1[12], ")
    text = render([net("127.0.0.1!40001")], 0, colour=False)
    assert "known as" not in text
    assert "()" not in line(net("127.0.0.1!40001"))


def test_destinations() -> None:
    """Many addresses are summed up by access and port, most frequent first, those not shown, too."""
    few = [net(f"10.0.0.{number}!80", service="http") for number in range(3)]
    assert "where to" not in render(few, 0, colour=False)
    many = [net(f"10.0.0.{number}!80", service="http") for number in range(30)]
    others = [
        net("[::1]!53", "send", service="domain", count=40),
        net("unix:/run/docker.sock"),
        net("@/tmp/.X11-unix/X0"),
        net("151.101.0.223!443", host="pypi.org", service="https", count=2),
        net("inet dgram", syscall="socket"),
        net("netlink:route", "send"),
        net("unix:/a!1", "bind"),
    ]
    text = render([EVENT, *many, *others], 0, colour=False)
    assert text[text.index("  where to") :].splitlines() == [
        "  where to, by port:",
        "    send !53 (domain) ×40: [::1]",
        "    connect !80 (http) ×30: 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3 … and 26 more",
        "    connect !443 (https) ×2: pypi.org",
        "    connect unix: unix:/run/docker.sock",
        "    connect abstract: @/tmp/.X11-unix/X0",
        "    send netlink: netlink:route",
        "    bind unix: unix:/a!1",
    ]


def test_destinations_are_bounded() -> None:
    """As many lines as can be read."""
    text = render([net(f"10.0.0.1!{port}") for port in range(1, 40)], 0, colour=False)
    assert text.endswith("    … and 27 more\n")


def test_colour_changes_nothing_else() -> None:
    """Without its escape sequences the coloured block is the plain one."""
    coloured = render([EVENT], 80, colour=True)
    for code in ("\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == render([EVENT], 80, colour=False)


@given(st.text(), st.text(), st.text(), st.lists(st.text()), st.integers(0, 200))
def test_nothing_drives_the_terminal(path: str, given: str, rule: str, argv: list[str], width: int) -> None:
    """Whatever is in an event, each line of the block is printable, and it adds no line of its own."""
    process = replace(PROCESS, command=path, argv=tuple(argv), parents=(Ancestor(1, given),))
    event = replace(EVENT, path=path, given=given, rule=rule, allow=rule, profile=given, process=process)
    text = render([event], width, colour=False)
    assert all(row.isprintable() for row in text.split("\n"))
    assert len(text.split("\n")) <= 7
    assert line(event).isprintable()
