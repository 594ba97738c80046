"""What calls with addresses share: the socket is taken, the address is judged, the caller is still there.

A descriptor is taken from the caller once, by pidfd_getfd(2). What is done is done with that copy, so it does
not matter what other threads make of the number in between.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sydd.kernel import seccomp
from sydd.policy.access import Access, Action, bits
from sydd.policy.address import Address, AddressKind
from sydd.supervisor import answer as answers
from sydd.supervisor.answer import KILL, Answer
from sydd.supervisor.bound import Bound
from sydd.supervisor.failure import CallerGone, NaturalFailure
from sydd.supervisor.found import Found
from sydd.supervisor.notification import Notification
from sydd.supervisor.refusal import refusal_errno
from sydd.supervisor.request import AT_FDCWD, Request
from sydd.supervisor.target import Demand
from sydd.supervisor.verdict import Verdict
from sydd.syscalls.row import Operation, Row

if TYPE_CHECKING:
    from sydd.kernel.sockets import About
    from sydd.policy.matcher import Matcher
    from sydd.supervisor.context import Context
    from sydd.supervisor.questions import Questions
    from sydd.supervisor.recorder import Recorder
    from sydd.supervisor.resolve import Resolver

_NAME_SERVICE = "/run/nscd/socket"
"""Where the C library looks for a cache of users, at every `ls -l`. It does without; there is no event."""


Answers = dict[Operation, Callable[[Notification, Row], Answer]]
"""Who answers calls, by operation."""


class AddressJudge:
    """Judges addresses for one session.

    Args:
        context: the session, whose plan has sockets.
        listener: to make sure that a caller is still the one that asked.
        resolver: of paths; its caller and credentials are those of the call.
        recorder: for events.
        questions: for what somebody is to be asked about.
        is_confined: whether a thread may be in a Landlock domain of its own, which what is done for it would
            pass by.

    Attributes:
        matcher: the policy.
        resolver: likewise.
        bound: what the session has bound; None where that is not followed.
    """

    def __init__(
        self,
        context: Context,
        listener: int,
        resolver: Resolver,
        recorder: Recorder,
        questions: Questions,
        is_confined: Callable[[int], bool],
    ) -> None:
        self._context = context
        self._listener = listener
        self._recorder = recorder
        self._questions = questions
        self._is_confined = is_confined
        self._slot = context.slot
        self._auditing = False
        self.matcher = context.matcher
        self.resolver = resolver
        plan = context.plan.sockets
        self.bound = Bound(context.note, context.diagnosis) if plan is not None and plan.follow_bind else None

    def follow(self, matcher: Matcher) -> None:
        """Judge by another policy from now on."""
        self.matcher = matcher

    def audit(self, auditing: bool) -> None:
        """From now on what is denied goes ahead, or does not."""
        self._auditing = auditing

    def recall(self, kind: str, values: tuple[Any, ...]) -> None:
        """Take what another worker has noted about bound sockets."""
        if self.bound is not None:
            self.bound.recall(kind, values)

    def take_over(self) -> None:
        """Go on in a process that was just forked, which asks the kernel by a socket of its own."""
        if self.bound is not None:
            self.bound.close()

    def close(self) -> None:
        """Let go of what is kept between calls."""
        if self.bound is not None:
            self.bound.close()

    def take(self, tid: int, register: int) -> int:
        """A copy of the caller's socket, which the caller of this closes.

        Raises:
            NaturalFailure: EBADF, ENOTSOCK.
            CallerGone: it has ended.
        """
        number = register & 0xFFFFFFFF
        try:
            fd = self.resolver.descriptors.copy(tid, number)
        except OSError as error:
            if error.errno == errno.EBADF:
                raise NaturalFailure(errno.EBADF) from None
            if error.errno == errno.ESRCH:
                raise CallerGone from None
            raise
        try:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                path_only = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH
                raise NaturalFailure(errno.EBADF if path_only else errno.ENOTSOCK)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def object(self, tid: int, path: bytes) -> Found:
        """The socket that a path leads to.

        Raises:
            NaturalFailure: there is none.
        """
        found = self.resolver.object(tid, self.resolver.start(tid, AT_FDCWD, path), path, follow=True)
        if found.anonymous or not stat.S_ISSOCK(os.fstat(found.fd).st_mode):
            raise NaturalFailure(errno.ECONNREFUSED)
        return found

    def judge(
        self,
        notification: Notification,
        row: Row,
        asks: Access,
        address: Address,
        about: About,
        *,
        fd: int = -1,
        given: bytes = b"",
        found: Found | None = None,
    ) -> Answer | None:
        """Judge what is asked of one address.

        Args:
            notification: the call.
            row: of the call.
            asks: one or more of CONNECT, BIND and SEND; the first that may not go ahead decides.
            address: as it was meant.
            about: the socket of the call.
            fd: a copy of it.
            given: the path that the caller wrote, where it is one.
            found: what that is.

        Returns:
            None where the call may go ahead.

        Raises:
            NaturalFailure: ECONNREFUSED where nobody is at a port of loopback that would be followed.
        """
        if address.kind is AddressKind.NOBODY:
            return None
        for access in bits(asks):
            refused = self._one(notification, row, access, asks, address, about, fd, given, found)
            if refused is not None:
                return refused
        return None

    def _one(
        self,
        notification: Notification,
        row: Row,
        access: Access,
        asks: Access,
        address: Address,
        about: About,
        fd: int,
        given: bytes,
        found: Found | None,
    ) -> Answer | None:
        action, rule = self.matcher.decide_address(access, address)
        if action is Action.ALLOW or self._is_approved(action, access, str(address)):
            return None
        follows = access is not Access.BIND and not action.permits
        if follows and self.bound is not None:
            if self.bound.takes(address, about, fd, found):
                return None
            connects = access is Access.CONNECT and not self._auditing
            if connects and self.bound.nobody(address, about, fd):
                # Whoever waits for a server of the session to listen has to see that it does not yet.
                raise NaturalFailure(errno.ECONNREFUSED)
        if action.permits or found is None or found.path != _NAME_SERVICE:
            demand = Demand(int(access), Found(str(address), -1))
            verdict = Verdict(action, access, demand, rule, access, address, about.kind)
            allow = self._context.suggest_address(asks, address)
            self._tell(_request(notification, row, given), verdict, allow)
        return self._refusal(action)

    def judge_name(self, notification: Notification, row: Row, place: Found, given: bytes) -> Answer | None:
        """Whether a socket may be made there, as by mknod(2); None where it may."""
        action, rule = self.matcher.decide(Access.MKNOD, place.path)
        if action is Action.ALLOW or self._is_approved(action, Access.MKNOD, place.path):
            return None
        verdict = Verdict(action, Access.MKNOD, Demand(int(Access.MKNOD), place), rule, Access.MKNOD)
        self._tell(_request(notification, row, given), verdict)
        return self._refusal(action)

    def refuse_stranger(self, notification: Notification, row: Row, path: str) -> Answer:
        """Refuse a way that leads through a process that is not of the session."""
        denial = Verdict(Action.DENY, row.asks, Demand(0, Found(path, -1)))
        self._recorder.record(_request(notification, row, b""), denial, stranger=True)
        return answers.error(errno.EACCES)

    def _is_approved(self, action: Action, access: Access, name: str) -> bool:
        """Whether somebody was asked, and permits it."""
        return action is Action.ASK and (int(access), name) in self._questions.approved

    def _tell(self, request: Request, verdict: Verdict, allow: str | None = None) -> None:
        """Record what is not simply allowed, or ask about it.

        Raises:
            Asking: the call has to wait for an answer.
        """
        if verdict.action is Action.ASK and not self._auditing:
            self._questions.ask(request, verdict, allow)
        else:
            self._recorder.record(request, verdict, allow=allow)

    def _refusal(self, action: Action) -> Answer | None:
        """The answer to what a rule does not simply allow; None where it goes ahead all the same."""
        if action.permits or self._auditing:
            return None
        return KILL if action is Action.KILL else answers.error(refusal_errno(action))

    def make_sure(self, notification: Notification, *, confines: bool = True) -> None:
        """Make sure that all that was read was the caller's, who may have it done; it is done next.

        Args:
            notification: the call.
            confines: whether a Landlock domain of the caller's own could have a say in it.

        Raises:
            NaturalFailure: EACCES.
            CallerGone: it has ended.
        """
        if confines and self._is_confined(notification.tid):
            raise NaturalFailure(errno.EACCES)
        if not seccomp.id_valid(self._listener, notification.id):
            raise CallerGone
        if self._slot is not None:
            self._slot.performing()


def _request(notification: Notification, row: Row, given: bytes) -> Request:
    """The call, for an event."""
    return Request(notification, row, AT_FDCWD, given or None, AT_FDCWD, None, 0, 0, 0, ())
