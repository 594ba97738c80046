"""What explain and the plan say, what the worker decides and what really happens: one and the same."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sydctl.explain import Explanation, _explain
from sydctl.main import Failure
from sydctl.planview import as_plain
from sydd.kernel.landlock import FsRight
from sydd.kernel.memory import Reader
from sydd.plan.plan import Enforcement, Engine
from sydd.plan.rights import REQUIRED
from sydd.policy.access import OF_AN_OBJECT, Access, Action, bits, names
from sydd.policy.errors import Source
from sydd.policy.policy import Policy
from sydd.policy.rule import parse_rule
from sydd.session.prepare import Place, Prepared, prepare
from sydd.supervisor.failure import NaturalFailure
from sydd.supervisor.request import read_request
from sydd.supervisor.resolve import Resolver
from sydd.supervisor.target import Target, locate
from sydd.supervisor.verdict import Verdict, judge
from sydd.syscalls.table import native, rows_by_number
from tests.agreement import world
from tests.agreement.world import CALLS, Call, Memory, make_tree, notification_of
from tests.support.unprivileged import Unprivileged

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

Rules = list[tuple[str, str, str]]
Asked = tuple[str, str, str]

engines = st.sampled_from([Engine.HYBRID, Engine.HYBRID, Engine.SUPERVISOR])


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A tree to work in, as the current directory."""
    before = os.getcwd()
    root = os.path.realpath(tempfile.mkdtemp(prefix="agree-"))
    make_tree(root)
    os.chdir(root)
    yield Place(cwd=root, home=f"{root}/home", tmp=f"{root}/tmp", user="me")
    os.chdir(before)
    shutil.rmtree(root)


def ready_for(place: Place, rules: Rules, engine: Engine) -> Prepared:
    """A policy about the tree, prepared."""
    lines = [f"{action} {access} ${{cwd}}{pattern}" for action, access, pattern in rules]
    policy = Policy("random", rules=tuple(parse_rule(line, Source("random")) for line in lines))
    return prepare(policy, place, {}, engine=engine)


def stages(ready: Prepared, call: Call, old: str, new: str) -> tuple[Target, Verdict] | int:
    """What the worker makes of the call: target and verdict, or the errno with which it fails natively."""
    memory = Memory(old, new)
    notification = notification_of(call, memory)
    resolver = Resolver()
    resolver.caller = notification.tid
    try:
        request = read_request(notification, rows_by_number(native())[notification.number], Reader())
        target = locate(request, resolver)
        return target, judge(ready.matcher, target)
    except NaturalFailure as failure:
        return failure.errno
    finally:
        resolver.end()


def explained(ready: Prepared, call: Call, old: str, new: str) -> list[Explanation]:
    """What explain says about everything that the call asks for, in the order of asking."""
    of_old, of_new = call.asks(old, new)
    if Access.CREATE in of_old and call.follow:
        old = os.path.realpath(old)  # open(2) creates what a link leads to; explain is asked about names
    return [
        _explain(ready, access, os.fsencode(path))
        for asked, path in ((of_old, old), (of_new, new))
        for access in asked
    ]


def decided(explanations: list[Explanation]) -> Explanation | None:
    """The one that decides: the first denial, else question, else warning; None when all is allowed."""
    ordered = [item for item in explanations if item.action not in ("allow", "warn", "ask")]
    ordered += [item for action in ("ask", "warn") for item in explanations if item.action == action]
    return next(iter(ordered), None)


@settings(
    max_examples=1000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(world.rules, st.lists(world.requests, min_size=1, max_size=4), engines)
def test_explain_says_what_the_worker_decides(
    place: Place, rules: Rules, requests: list[Asked], engine: Engine
) -> None:
    """For random policies and calls: the same action, access, path and rule; and the plan fits."""
    ready = ready_for(place, rules, engine)
    shown = {entry["access"]: entry["enforcement"] for entry in as_plain(ready)["accesses"]}
    for name, old, new in requests:
        call = CALLS[name]
        outcome = stages(ready, call, old, new)
        if isinstance(outcome, int):
            continue  # the call fails natively, and the policy is not asked
        target, verdict = outcome
        if name in ("lstat", "readlink", "link") and os.path.islink(old):
            continue  # explain is asked about objects; about the link itself there is no such question
        answers = explained(ready, call, old, new)
        expected = decided(answers)
        if expected is None:
            assert verdict.action is Action.ALLOW
        else:
            assert verdict.demand is not None
            assert (verdict.action.value, names(verdict.access), verdict.demand.found.path) == (
                expected.action,
                expected.access,
                expected.path,
            )
            assert (verdict.rule.rule.text if verdict.rule else "no rule: default") == expected.rule
        for item in answers:
            assert item.enforcement == shown[item.access]
            if item.enforcement == Enforcement.FREE.value:
                assert item.action == "allow"
        check_coverage(ready, target)


def check_coverage(ready: Prepared, target: Target) -> None:
    """What the kernel grants on the objects of a call is allowed by the policy."""
    coverage = ready.plan.coverage()
    for demand in target.demands:
        path = demand.found.path
        for right in FsRight(demand.rights):
            if coverage.grants(path, int(right)):
                check_allowed(ready, REQUIRED[right], path)
        for right in FsRight(demand.entry_rights):
            if coverage.grants_entry(path, int(right)):
                check_allowed(ready, REQUIRED[right], path)


def check_allowed(ready: Prepared, mask: Access, path: str) -> None:
    """Every access in *mask* to *path* is allowed, silently."""
    for bit in bits(mask):
        assert ready.matcher.decide(bit, path).action is Action.ALLOW, f"{bit.name} {path}"


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(world.rules, world.requests)
def test_explain_always_has_an_answer(place: Place, rules: Rules, request_: Asked) -> None:
    """Also where the call would fail by itself: explain says so, or that the path leads nowhere."""
    ready = ready_for(place, rules, Engine.HYBRID)
    name, old, new = request_
    outcome = stages(ready, CALLS[name], old, new)
    try:
        answers = explained(ready, CALLS[name], old, new)
    except Failure:
        assert isinstance(outcome, int)
        return
    assert all(item.layer and item.why for item in answers)
    assert all(bool(item.allow) != (item.action in ("allow", "warn")) for item in answers)


# ---- the same for real: a session for each policy, a tree of its own for each call

RUNNER = """
import errno, json, os, sys
home = os.open(".", os.O_RDONLY)
results = []
for code, p, q in json.load(sys.stdin):
    try:
        exec(code)
        results.append("")
    except OSError as error:
        results.append(errno.errorcode[error.errno])
    os.fchdir(home)
print(json.dumps(results))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the runner gave.

    Attributes:
        results: for each request the name of its errno; empty for success.
        events: of the session.
    """

    results: list[str]
    events: list[dict[str, object]]


def run_natively(user: Unprivileged, work: str, requests: list[Asked]) -> list[str]:
    """Make the calls without sydd, in trees of their own."""
    fresh(user, work, len(requests))
    done = user.run([sys.executable, "-I", "-S", "-c", RUNNER], cwd=work, stdin=program(requests))
    assert done.stderr == ""
    found: list[str] = json.loads(done.stdout)
    return found


def run_confined(user: Unprivileged, work: str, requests: list[Asked], rules: Rules, engine: Engine) -> Ran:
    """Make the calls in a session, in trees of their own."""
    fresh(user, work, len(requests))
    profile, events = f"{user.home}/p.toml", f"{user.home}/events"
    with open(profile, "w", encoding="utf-8") as file:
        file.write('name = "random"\ndescription = "random"\nrules = [\n')
        file.writelines(json.dumps(line) + ",\n" for line in lines_for(rules, len(requests)))
        file.write("]\n")
    os.chmod(profile, 0o644)
    done = user.run(
        [
            *(sys.executable, "-m", "sydctl", "launch", profile, "--engine", engine.value, "-q"),
            *("--events", events, "--", sys.executable, "-I", "-S", "-c", RUNNER),
        ],
        cwd=work,
        stdin=program(requests),
        env={"PYTHONPATH": ROOT},
    )
    assert done.stderr == ""
    with open(events, encoding="utf-8") as file:
        written = [json.loads(line) for line in file]
    return Ran(json.loads(done.stdout), [event for event in written if event["type"] == "event"])


def program(requests: list[Asked]) -> str:
    """The runner's standard input."""
    return json.dumps(
        [[CALLS[name].perform, f"t{i}/{old}", f"t{i}/{new}"] for i, (name, old, new) in enumerate(requests)]
    )


def lines_for(rules: Rules, count: int) -> list[str]:
    """The rules, for each of *count* trees."""
    return [
        f"{action} {access} ${{cwd}}/t{i}{pattern}" for action, access, pattern in rules for i in range(count)
    ]


def fresh(user: Unprivileged, work: str, count: int) -> None:
    """New trees of the user's."""
    shutil.rmtree(work, ignore_errors=True)
    for i in range(count):
        make_tree(f"{work}/t{i}")
    user.give(work)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("engine", [Engine.HYBRID, Engine.SUPERVISOR])
def test_what_happens_is_what_explain_said(engine: Engine, unprivileged: Unprivileged) -> None:
    """Real calls in real sessions: their outcome and the event are those that explain told before."""
    home = os.path.realpath(unprivileged.home)
    work = f"{home}/work"

    # A failing policy is short enough as it is; to shrink it would take hundreds of sessions.
    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
    )
    @given(world.rules, st.lists(world.requests, min_size=12, max_size=16))
    def check(rules: Rules, requests: list[Asked]) -> None:
        natively = run_natively(unprivileged, work, requests)
        fresh(unprivileged, work, len(requests))
        before = os.getcwd()
        os.chdir(work)
        try:
            policy = Policy(
                "random",
                rules=tuple(parse_rule(line, Source("random")) for line in lines_for(rules, len(requests))),
            )
            ready = prepare(policy, Place(work, home, f"{home}/tmp", "me"), {}, engine=engine)
            predictions = [predict(ready, f"t{i}", asked) for i, asked in enumerate(requests)]
        finally:
            os.chdir(before)
        ran = run_confined(unprivileged, work, requests, rules, engine)
        for number, (native_result, expected) in enumerate(zip(natively, predictions, strict=True)):
            compare(ready, requests[number], native_result, expected, ran, number)

    check()


def predict(ready: Prepared, tree: str, asked: Asked) -> Explanation | None:
    """What explain says that will happen; None when nothing is denied or reported."""
    name, old, new = asked
    try:
        return decided(explained(ready, CALLS[name], f"{tree}/{old}", f"{tree}/{new}"))
    except Failure:
        return None


def compare(
    ready: Prepared, asked: Asked, native_result: str, expected: Explanation | None, ran: Ran, number: int
) -> None:
    """One call: native result, prediction, real result and event."""
    what = f"{asked} natively {native_result or 'succeeds'}, expected {expected}"
    got = ran.results[number]
    events = [event for event in ran.events if f"/t{number}/" in f"{event['path']}/"]
    if native_result:
        # Which comes first, the kernel's own errno or the denial, is the business of the tests of the rows.
        assert got in (native_result, "EACCES", "ENOENT", "EXDEV"), what
        return
    if asked[0] in ("lstat", "readlink", "link") and asked[1] in _LINKS:
        return
    if expected is None or expected.action == "warn":
        if got == "EXDEV":
            assert names_differ(ready, number, asked), what
        else:
            assert got == "", what
    else:
        assert got == ("ENOENT" if expected.action == "hide" else "EACCES"), what
    reported = [] if expected is None or expected.action == "filter" else [expected]
    assert [(e["action"], e["access"], e["path"], e["rule"]) for e in events] == [
        (item.action, item.access, item.path, item.rule) for item in reported
    ], what


_LINKS = ("to_file", "to_dir", "dangling", "round")


def names_differ(ready: Prepared, number: int, asked: Asked) -> bool:
    """Whether the policy says different things about the object under its two names."""
    name, old, new = asked
    if name not in ("rename", "link"):
        return False
    root = f"{ready.place.cwd}/t{number}"
    was, now = (
        os.path.join(os.path.realpath(os.path.dirname(f"{root}/{path}")), os.path.basename(path))
        for path in (old, new)
    )
    return any(
        ready.matcher.decide(bit, was + below).action is not ready.matcher.decide(bit, now + below).action
        for bit in bits(OF_AN_OBJECT)
        for below in ("", "/f", "/g", "/sub", "/sub/f", "/new")
    )


def test_the_table_of_calls_knows_the_errnos() -> None:
    """What the runner reports are names that errno has."""
    assert {"EACCES", "ENOENT", "EXDEV"} <= set(errno.errorcode.values())
