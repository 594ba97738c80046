"""Who may do what: a user has the own sessions, root everybody's; who is in a session has that one alone."""

from __future__ import annotations

import pwd

from sydd.control.peer import Peer
from sydd.daemon.insiders import Roots, UnknownProcessError, session_of
from sydd.daemon.registry import Registry
from sydd.daemon.sessions import Session
from sydd.daemon.spec import Identity
from sydd.policy.lock import Asker
from sydd.wire.errors import NoSuchSession, PermissionDenied
from sydd.wire.values import SELF


class Access:
    """Finds sessions for peers.

    Args:
        registry: the sessions.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def inside(self, peer: Peer) -> Roots | None:
        """The session that a peer is in; None for none.

        Raises:
            PermissionDenied: that cannot be told.
        """
        roots = self._registry.roots()
        if not roots:
            return None
        if not peer.pid:
            raise PermissionDenied("a process in another pid namespace may be in any session")
        try:
            return session_of(peer.pid, peer.uid, peer.pidfd, roots)
        except UnknownProcessError as error:
            raise PermissionDenied(str(error)) from None

    def find(self, peer: Peer, name: str) -> tuple[Session, Asker]:
        """The session of that name, and in what capacity a peer asks for it.

        Who connected says which session a call comes from: its worker, which connects on behalf of all, or
        one of its processes, which may have handed the connection on. Who *wrote* the call says whether it
        is the command's own. The command lives, so its number has been nobody else's since the session began.

        Raises:
            NoSuchSession: there is none that it may see.
            PermissionDenied: it cannot be told where it is.
        """
        own = self.inside(peer)
        if own is not None:
            session = self._registry.find(own.session)
            if session is None or name not in (SELF, own.session):
                raise NoSuchSession(name)
            eldest = peer.writer and peer.writer == own.command
            return session, Asker.ELDEST if eldest else Asker.INSIDE
        session = self._registry.find(name)
        if session is None or (peer.uid and peer.uid != session.spec.identity.uid):
            raise NoSuchSession(name)
        return session, Asker.OUTSIDE

    def refuse_inside(self, peer: Peer, what: str) -> None:
        """Refuse who is inside a session.

        Raises:
            PermissionDenied: it is.
        """
        if self.inside(peer) is not None:
            raise PermissionDenied(f"a process inside a session cannot {what}")

    def administers(self, peer: Peer) -> bool:
        """Whether a peer may change profiles."""
        if peer.uid:
            return False
        try:
            self.refuse_all_but_root(peer)
        except PermissionDenied:
            return False
        return True

    def refuse_all_but_root(self, peer: Peer) -> None:
        """Refuse who may not change profiles.

        Raises:
            PermissionDenied: only root outside of all sessions may.
        """
        self.refuse_inside(peer, "change profiles")
        if peer.uid:
            raise PermissionDenied("profiles of the system are root's")


def hindrance(uid: int, origin: str, scope: int) -> str:
    """Why a daemon cannot supervise what it is asked to; empty when it can.

    Under Yama a process without CAP_SYS_PTRACE reads the memory of its descendants alone. What the daemon
    starts is below the worker; what a client has started is not.

    Args:
        uid: whom the daemon runs as.
        origin: of the session: "launch" or "run".
        scope: the value of kernel.yama.ptrace_scope; 0 without Yama.
    """
    if not uid or not scope or (scope == 1 and origin == "run"):
        return ""
    which = "what it starts itself ('sydctl run')" if scope == 1 else "nothing"
    way_out = "; 'sydctl launch --embedded' does without it" if scope == 1 else ""
    return f"kernel.yama.ptrace_scope is {scope}: a user's own daemon can supervise {which} here{way_out}"


def identity_of(peer: Peer) -> Identity:
    """Whose the sessions of a peer are: its user and groups as they were when it connected."""
    try:
        entry = pwd.getpwuid(peer.uid)
        user, home = entry.pw_name, entry.pw_dir
    except KeyError:
        user, home = str(peer.uid), "/nonexistent"
    return Identity(peer.uid, peer.gid, tuple(peer.groups), user, home)
