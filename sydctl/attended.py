"""A command of this process's whose session the daemon supervises.

What happens is told by the daemon on a connection of its own, which a thread reads. When the daemon goes away
and comes back, the build goes on; the thread connects again and is told what it missed.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from sydctl.follow import record
from sydctl.main import EXIT_FAILED, Failure
from sydctl.remote import PATIENCE, PAUSE, again
from sydd.client import BadArgument, ControlError, Failed, NoSuchSession, UnavailableError
from sydd.kernel.reason import reason
from sydd.session.foreground import Foreground
from sydd.session.launching import LaunchError

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Sequence

    from sydd.client import Client
    from sydd.session.launching import LaunchSpec
    from sydd.supervisor.journal import Journal
    from sydd.wire.events import Notice


class SessionLostError(LaunchError):
    """The session has ended before the command was there: nothing has begun, another one will do."""


def run(
    client: Client, session: str, spec: LaunchSpec, command: Sequence[str], journal: Journal
) -> tuple[int, str]:
    """Run a command in a session that the daemon has prepared.

    Args:
        client: of the daemon.
        session: its name.
        spec: what the launch needs.
        command: program and arguments.
        journal: where events go.

    Returns:
        The command's exit status, and what went wrong with the supervision; empty when nothing did.

    Raises:
        SessionLostError: it has ended before.
        Failure: the command cannot be started.
    """
    supervisor = _Daemon(client, session, journal)
    try:
        return Foreground(spec, command, supervisor).run(), supervisor.failure
    except SessionLostError:
        raise
    except LaunchError as error:
        raise Failure(str(error), EXIT_FAILED) from None


class _Daemon:
    """The supervisor: a worker of the daemon."""

    def __init__(self, client: Client, session: str, journal: Journal) -> None:
        self._client = client
        self._session = session
        self._journal = journal
        self._position = 0
        self._over = threading.Event()  # the last process has gone
        self._gone_since: float | None = None
        self._thread: threading.Thread | None = None
        self._lost = ""  # why not all that happens is told
        self.failure = ""

    def serve(self, listener: int, command: int) -> None:
        """Hand the listener over, then listen to what happens, from its beginning.

        In this order: a daemon without descriptors takes one connection, and it is the command's.
        """
        try:
            self._hand_over(listener, command)
        finally:
            os.close(listener)
        self._thread = threading.Thread(target=self._follow, name="sydctl-events", daemon=True)
        self._thread.start()

    def _hand_over(self, listener: int, command: int) -> None:
        try:
            again(lambda: self._attach(listener, command))
        except (NoSuchSession, BadArgument, Failed) as error:
            # The command waits: what failed so far has had no effect, and the daemon has ended the session.
            raise SessionLostError(f"the daemon does not take the session: {error}") from None
        except (ControlError, UnavailableError) as error:
            raise LaunchError(f"the daemon does not take the session: {error}") from None

    def _attach(self, listener: int, command: int) -> None:
        try:
            self._client.attach(self._session, listener, command)
        except BadArgument:
            # Where the answer to an attempt before this one was lost, it is attached already.
            if self._client.inspect_session(self._session)["session"]["pid"] != command:
                raise

    def is_over(self, *, alone: bool) -> bool:
        """Whether no process is left, this one's own children all of them."""
        return alone

    def close(self) -> None:
        """Wait for the last events."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._journal.lost = self._lost or self._journal.lost
        self._client.close()

    def _follow(self) -> None:
        try:
            self._listen()
        except NoSuchSession:
            self._lose("the daemon was started anew and does not know the session any more")
        except Exception as error:  # noqa: BLE001  # what a thread does not hear is not to be taken for nothing
            self._lose(f"the daemon does not tell what happens: {reason(error)}")

    def _listen(self) -> None:
        """Read what happens until the session has ended; connect again as often as need be."""
        while True:
            try:
                with self._client.subscribe(self._session, position=self._position) as stream:
                    self._gone_since = None
                    for notice in stream:
                        self._take(notice)
                        if notice["kind"] == "ended":
                            return
            except UnavailableError:
                pass
            now = time.monotonic()
            self._gone_since = self._gone_since or now
            if self._over.is_set() and now - self._gone_since > PATIENCE:
                self._lose("the daemon went away")
                return
            time.sleep(PAUSE)

    def _lose(self, why: str) -> None:
        self._lost = why

    def _take(self, notice: Notice) -> None:
        self._position = max(self._position, notice["position"])
        record(self._journal, notice)
        if notice["kind"] == "ended" and notice["detail"].get("failure"):
            self.failure = notice["detail"]["failure"]
            # Whoever waits for the command looks at it now.
            os.kill(os.getpid(), signal.SIGCHLD)
