"""Calls about sockets where addresses are judged: connect, bind, listen.

A descriptor is taken from the caller, the address is copied, and what was judged is done with these two: what
other threads do to the memory or to the table of descriptors in between changes nothing. It is the caller's
socket that is connected or bound, with the caller's credentials for the file system and for ports.

The one thing that shows is who did it: a unix socket tells its peer the process that connected or listened
(SO_PEERCRED), which is the supervisor's, with the caller's user and group.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from typing import TYPE_CHECKING

from sydd.kernel import credentials, seccomp, sockets
from sydd.kernel.sockets import About
from sydd.policy.access import Access, Action
from sydd.policy.address import Address, AddressKind
from sydd.supervisor import answer as answers
from sydd.supervisor.answer import DONE, KILL, LATER, Answer
from sydd.supervisor.bound import Bound
from sydd.supervisor.failure import CallerGone, NaturalFailure, Stranger
from sydd.supervisor.refusal import refusal_errno
from sydd.supervisor.request import AT_FDCWD, Request
from sydd.supervisor.resolve import Found, in_existing_place
from sydd.supervisor.sockaddr import LONGEST, pack_sockaddr, parse_sockaddr
from sydd.supervisor.target import Demand
from sydd.supervisor.unixname import alike_below, bind_name
from sydd.supervisor.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.kernel.memory import Reader
    from sydd.policy.matcher import Matcher
    from sydd.supervisor.blocking import WaitingRoom
    from sydd.supervisor.context import Context
    from sydd.supervisor.notification import Notification
    from sydd.supervisor.questions import Questions
    from sydd.supervisor.recorder import Recorder
    from sydd.supervisor.resolve import Resolver
    from sydd.syscalls.row import Row

_NAME_SERVICE = "/run/nscd/socket"
"""Where the C library looks for a cache of users, at every `ls -l`. It does without; there is no event."""

_NAMES_NOTHING = (b".", b"..", b"/")


class SocketCalls:
    """Answers them for one session.

    Args:
        context: the session, whose plan has sockets.
        listener: to make sure that a caller is still the one that asked.
        reader: of callers' memory.
        resolver: of paths; its caller and credentials are those of the call.
        waiting: for what may block.
        recorder: for events.
        questions: for what somebody is to be asked about.
        is_confined: whether a thread may be in a Landlock domain of its own, which what is done for it would
            pass by.
    """

    def __init__(
        self,
        context: Context,
        listener: int,
        reader: Reader,
        resolver: Resolver,
        waiting: WaitingRoom,
        recorder: Recorder,
        questions: Questions,
        is_confined: Callable[[int], bool],
    ) -> None:
        self._context = context
        self._matcher = context.matcher
        self._listener = listener
        self._reader = reader
        self._resolver = resolver
        self._waiting = waiting
        self._recorder = recorder
        self._questions = questions
        self._is_confined = is_confined
        plan = context.plan.sockets
        self._auditing = False
        self._bound = Bound() if plan is not None and plan.follow_bind else None

    def follow(self, matcher: Matcher) -> None:
        """Judge by another policy from now on."""
        self._matcher = matcher

    def audit(self, auditing: bool) -> None:
        """From now on what is denied goes ahead, or does not."""
        self._auditing = auditing

    def close(self) -> None:
        """Let go of what is kept between calls."""
        if self._bound is not None:
            self._bound.close()

    def answer(self, notification: Notification, row: Row) -> Answer:
        """The answer to one call.

        Raises:
            NaturalFailure: it fails whatever the policy says.
            CallerGone: the caller has ended.
        """
        registers = notification.registers
        fd = self._take(notification.tid, registers[0])
        try:
            about = sockets.about(fd)
            listens = row.name == "listen"
            raw = b"" if listens else self._address(notification.tid, *(registers[n] for n in row.extra))
            if self._resolver.credentials is not None:
                # From here on; to look into the caller takes the worker's own.
                credentials.assume(self._resolver.credentials)
            if listens:
                return self._listen(notification, row, fd, about)
            if row.name == "bind":
                return self._bind(notification, row, fd, about, raw)
            return self._connect(notification, row, fd, about, raw)
        except Stranger as failure:
            denial = Verdict(Action.DENY, row.asks, Demand(0, Found(failure.path, -1)))
            self._recorder.record(_request(notification, row, b""), denial, stranger=True)
            return answers.error(errno.EACCES)
        finally:
            os.close(fd)

    def _take(self, tid: int, register: int) -> int:
        """A copy of the caller's socket."""
        number = register & 0xFFFFFFFF
        try:
            fd = self._resolver.descriptors.copy(tid, number)
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

    def _address(self, tid: int, pointer: int, size: int) -> bytes:
        """The one copy of the address."""
        length = size & 0xFFFFFFFF
        if length > LONGEST:  # negative ones, too
            raise NaturalFailure(errno.EINVAL)
        if not length:
            return b""
        try:
            raw = self._reader.read(tid, pointer, length)
        except OSError as error:
            raise NaturalFailure(errno.EFAULT) from error
        if len(raw) < length:
            raise NaturalFailure(errno.EFAULT)
        return raw

    def _connect(self, notification: Notification, row: Row, fd: int, about: About, raw: bytes) -> Answer:
        address = parse_sockaddr(raw, Access.CONNECT, about.domain, about.kind, about.protocol)
        address = address.meant(Access.CONNECT)
        found = None
        given = b""
        if address.kind is AddressKind.UNIX:
            given = os.fsencode(address.name)
            found = self._object(notification.tid, given)
            address = address._replace(name=found.path)
        refused = self._judge(notification, row, Access.CONNECT, address, given, about, found)
        if refused is not None:
            return refused
        if found is not None:
            raw = pack_sockaddr(Address(AddressKind.UNIX, f"/proc/self/fd/{found.fd}"), about.domain)
        elif address.kind is AddressKind.INET and not _names(raw, about, address):
            raw = pack_sockaddr(address, about.domain)
        self._make_sure(notification)
        if about.domain == socket.AF_UNIX and self._resolver.credentials is not None:
            self._waiting.connect(notification, fd, raw, self._resolver.credentials)
            return LATER
        number = _try_connect(fd, raw)
        if number is None:
            self._waiting.connect(notification, fd, raw, None)
            return LATER
        return _answer(number)

    def _object(self, tid: int, path: bytes) -> Found:
        """The socket that a path leads to."""
        found = self._resolver.object(tid, self._resolver.start(tid, AT_FDCWD, path), path, follow=True)
        if found.anonymous or not stat.S_ISSOCK(os.fstat(found.fd).st_mode):
            raise NaturalFailure(errno.ECONNREFUSED)
        return found

    def _bind(self, notification: Notification, row: Row, fd: int, about: About, raw: bytes) -> Answer:
        address = parse_sockaddr(raw, Access.BIND, about.domain, about.kind, about.protocol)
        if address.kind is AddressKind.UNIX:
            return self._bind_name(notification, row, fd, about, raw, os.fsencode(address.name))
        refused = self._judge(notification, row, Access.BIND, address, b"", about, None)
        if refused is not None:
            return refused
        self._make_sure(notification)
        number = sockets.bind(fd, raw)
        if not number and self._bound is not None:
            self._bound.learn(fd, about)
        return _answer(number)

    def _bind_name(
        self, notification: Notification, row: Row, fd: int, about: About, raw: bytes, path: bytes
    ) -> Answer:
        """Bind a unix socket to a path: a name is made as well, which the policy has to allow."""
        tid = notification.tid
        place = self._resolver.entry(tid, self._resolver.start(tid, AT_FDCWD, path), path)
        if place.name in _NAMES_NOTHING:
            raise NaturalFailure(errno.EADDRINUSE)
        if _exists(place):
            raise NaturalFailure(errno.EADDRINUSE)
        if place.trailing_slash:
            raise NaturalFailure(errno.ENOENT)
        place = in_existing_place(place)
        address = Address(AddressKind.UNIX, place.path)
        refused = self._judge(notification, row, Access.BIND, address, path, about, place)
        if refused is None:
            refused = self._judge_name(notification, row, place, path)
        if refused is not None:
            return refused
        cwd = self._resolver.descriptor(tid, AT_FDCWD)
        umask = credentials.of_task(tid).umask
        alike = alike_below(self._matcher, place.path.rpartition("/")[0] or "/")
        self._make_sure(notification)
        number = bind_name(fd, raw, place, cwd, umask, alike=alike)
        if not number and self._bound is not None:
            self._bound.learn(fd, about, place)
        return _answer(number)

    def _listen(self, notification: Notification, row: Row, fd: int, about: About) -> Answer:
        """To listen on an unbound socket binds it to a port of the kernel's choice, at every address."""
        unbound = False
        if about.domain in (socket.AF_INET, socket.AF_INET6):
            name = sockets.name(fd)
            address = parse_sockaddr(name, Access.BIND, about.domain, about.kind, about.protocol)
            unbound = not address.port
            if unbound:
                refused = self._judge(notification, row, Access.BIND, address, b"", about, None)
                if refused is not None:
                    return refused
        self._make_sure(notification)
        backlog = _int(notification.registers[row.extra[0]])
        if about.domain == socket.AF_UNIX and self._resolver.credentials is not None:
            self._waiting.listen(notification, fd, backlog, self._resolver.credentials)
            return LATER
        number = sockets.listen(fd, backlog)
        if unbound and not number and self._bound is not None:
            self._bound.learn(fd, about)
        return _answer(number)

    def _judge(
        self,
        notification: Notification,
        row: Row,
        access: Access,
        address: Address,
        given: bytes,
        about: About,
        found: Found | None,
    ) -> Answer | None:
        """None where the call may go ahead."""
        if address.kind is AddressKind.NOBODY:
            return None
        action, rule = self._matcher.decide_address(access, address)
        if action is Action.ALLOW or self._is_approved(action, access, str(address)):
            return None
        follows = access is Access.CONNECT and not action.permits
        if follows and self._bound is not None and self._bound.takes(address, about, found):
            return None
        if action.permits or found is None or found.path != _NAME_SERVICE:
            demand = Demand(int(access), Found(str(address), -1))
            verdict = Verdict(action, access, demand, rule, access)
            allow = self._context.suggest_address(access, address)
            self._tell(_request(notification, row, given), verdict, allow)
        return self._refusal(action)

    def _judge_name(self, notification: Notification, row: Row, place: Found, given: bytes) -> Answer | None:
        """Whether a socket may be made there, as by mknod(2); None where it may."""
        action, rule = self._matcher.decide(Access.MKNOD, place.path)
        if action is Action.ALLOW or self._is_approved(action, Access.MKNOD, place.path):
            return None
        verdict = Verdict(action, Access.MKNOD, Demand(int(Access.MKNOD), place), rule, Access.MKNOD)
        self._tell(_request(notification, row, given), verdict)
        return self._refusal(action)

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

    def _make_sure(self, notification: Notification) -> None:
        """Make sure that all that was read was the caller's, who may have it done."""
        if self._is_confined(notification.tid):
            raise NaturalFailure(errno.EACCES)
        if not seccomp.id_valid(self._listener, notification.id):
            raise CallerGone


def _try_connect(fd: int, address: bytes) -> int | None:
    """Connect without waiting: 0 or a negative errno; None where it has to be waited for.

    The open file is the caller's, too: for the moment of the call it shows as non-blocking.
    """
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & os.O_NONBLOCK:
        return sockets.connect(fd, address)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        number = sockets.connect(fd, address)
        if number == -errno.EINPROGRESS:
            # On this host the peer has answered by now; the second call tells what.
            number = sockets.connect(fd, address)
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    return None if -number in (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN) else number


def _names(raw: bytes, about: About, address: Address) -> bool:
    """Whether the bytes themselves name the address that was judged, and not one that stands for it."""
    return parse_sockaddr(raw, Access.CONNECT, about.domain, about.kind, about.protocol) == address


def _exists(place: Found) -> bool:
    """Whether the entry is there already.

    Raises:
        NaturalFailure: its directory may not be searched.
    """
    try:
        os.stat(place.name, dir_fd=place.parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as failure:
        raise NaturalFailure(failure.errno or errno.EIO) from None
    return True


def _int(register: int) -> int:
    """An `int` of the kernel's."""
    register &= 0xFFFFFFFF
    return register - (1 << 32) if register >> 31 else register


def _answer(number: int) -> Answer:
    return answers.error(-number) if number else DONE


def _request(notification: Notification, row: Row, given: bytes) -> Request:
    """The call, for an event."""
    return Request(notification, row, AT_FDCWD, given or None, AT_FDCWD, None, 0, 0, 0, ())
