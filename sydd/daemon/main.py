"""The entry point of `sydd`: settings, sockets, what an earlier daemon left, and the loop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence

import sydd
from sydd.control.limits import Limits
from sydd.control.server import ControlServer
from sydd.daemon import chronicle, log, nofile, preload, sockets, store, systemd
from sydd.daemon.arguments import build_parser
from sydd.daemon.cgroups import Cgroups, NoCgroupsError
from sydd.daemon.figures import Figures, Scraped
from sydd.daemon.hub import Hub
from sydd.daemon.messages import Message
from sydd.daemon.profiles import Profiles
from sydd.daemon.quota import Quota
from sydd.daemon.registry import Registry, collect_children
from sydd.daemon.service import Service
from sydd.daemon.settings import Settings
from sydd.daemon.sockets import SocketError
from sydd.daemon.store import Restored, Store
from sydd.daemon.systemd import Manager
from sydd.daemon.tape import Tape
from sydd.kernel import prctl, prompt
from sydd.policy.errors import PolicyError

EXIT_FAILED = 1
EXIT_USAGE = 2

LAST_WORDS = 2
"""Seconds that subscribers may take to read what was told last, when the daemon stops."""

QUIET = 2
"""Seconds after which most of what waited for this process has been done."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon.

    Args:
        argv: arguments without the program's name; None for this process's.

    Returns:
        The exit status.
    """
    arguments = build_parser().parse_args(argv)
    for name in ("socket", "config"):  # the daemon leaves the directory that it was started in
        if getattr(arguments, name):
            setattr(arguments, name, os.path.abspath(getattr(arguments, name)))
    settings = Settings(arguments)
    try:
        settings.read()
    except PolicyError as error:
        sys.stderr.write(f"sydd: {error}\n")
        return EXIT_USAGE
    try:
        manager = Manager.from_environment()
        restored = store.sort_out(systemd.listen_fds())
        path = arguments.socket or sockets.default_path(own=settings.own)
        listening = sockets.listening(restored.sockets, path)
    except (SocketError, ValueError, OSError) as error:
        sys.stderr.write(f"sydd: {error}\n")
        return EXIT_FAILED
    _prepare_process()
    try:
        return asyncio.run(_Daemon(settings, manager, restored, listening).run())
    finally:
        for item in listening:
            item.close()


def _prepare_process() -> None:
    """What makes this process fit to be the parent of many: descriptors, orphans, forks that copy little."""
    nofile.raise_limit()
    prctl.set_child_subreaper()
    prompt.prepare()
    os.umask(0o022)
    os.chdir("/")
    preload.everything()
    gc.collect()
    gc.freeze()
    # Rare are collections of everything as long as much is thought to be there: this one finds nothing.
    gc.collect()


def _cgroups() -> Cgroups | None:
    """Where sessions get control groups; None, and a word in the log, where they get none."""
    try:
        return Cgroups.find()
    except NoCgroupsError as error:
        log.get_logger().info(f"sessions have no control groups: {error}")
        return None


class _Daemon:
    """Everything that there is one of."""

    def __init__(
        self,
        settings: Settings,
        manager: Manager,
        restored: Restored,
        listening: list[sockets.Listening],
    ) -> None:
        self._settings = settings
        self._manager = manager
        self._restored = restored
        self._listening = listening

    async def run(self) -> int:
        """Serve until a signal says to stop."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGCHLD, collect_children)
        kept = Store(self._manager)
        tape = Tape(self._restored.tape)
        hub = Hub(tape)
        registry = Registry(hub, kept, Quota(self._settings.now.limits), _cgroups())
        tasks = [loop.create_task(chronicle.write(hub)), loop.create_task(self._watchdog())]
        try:
            if self._restored.tape is None:
                kept.put_tape(tape.files)
            service = self._service(hub, registry)
            server = ControlServer(service, os.geteuid(), self._limits(), registry.make_room)
            service.connections = lambda: server.connections
            scraped = Scraped(Figures(hub, registry, service.connections))
            self._begin(registry, server)
            scraped.at(self._settings.now.metrics.address)

            def take_over() -> None:
                registry.allow(self._settings.now.limits)
                server.limits = self._limits()
                service.limits = self._told_limits()
                scraped.at(self._settings.now.metrics.address)

            loop.add_signal_handler(signal.SIGHUP, self._reload, take_over)
            loop.call_later(QUIET, preload.rest)
            await stop.wait()
            loop.remove_signal_handler(signal.SIGHUP)
            self._manager.stopping()
            registry.refuse("the daemon is about to stop")
            keep = self._settings.keep
            if keep == "never" or (keep == "auto" and not kept.present):
                await registry.end_all("the daemon was stopped")
            await hub.close(LAST_WORDS)
            await asyncio.sleep(0.05)  # for what is on its way through the sockets
            await server.close()
            await scraped.close()
            registry.leave_all()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            registry.close()
            tape.close()
        log.get_logger().info("stopped", message_id=Message.DAEMON_STOPPED)
        return 0

    def _limits(self) -> Limits:
        most = self._settings.now.limits
        return Limits(user_connections=most.connections, user_descriptors=most.descriptors)

    def _told_limits(self) -> dict[str, int]:
        return {"user_sessions": self._settings.now.limits.sessions, **self._limits().as_json()}

    def _service(self, hub: Hub, registry: Registry) -> Service:
        """Go on with the sessions of an earlier daemon; what answers."""
        for problem in registry.restore(self._restored.sessions):
            log.get_logger().error(problem, message_id=Message.SESSION_LOST)
        path = self._listening[0].path
        return Service(registry, hub, Profiles(), socket=path, limits=self._told_limits())

    def _begin(self, registry: Registry, server: ControlServer) -> None:
        """Answer on the sockets."""
        for item in self._listening:
            server.listen(item.socket)
        found = len(registry.living())
        self._manager.ready(f"{found} sessions")
        log.get_logger().info(
            "listening",
            message_id=Message.DAEMON_STARTED,
            version=sydd.__version__,
            socket=self._listening[0].path,
            sessions=found,
        )

    def _reload(self, take_over: Callable[[], None]) -> None:
        """Read the settings again; with a mistake in them, everything stays as it was."""
        self._manager.reloading()
        try:
            self._settings.read()
        except PolicyError as error:
            log.get_logger().error(
                f"the settings stay as they were: {error}", message_id=Message.SETTINGS_READ
            )
            self._manager.ready("the settings have a mistake, and stay as they were")
            return
        take_over()
        log.get_logger().info("the settings were read again", message_id=Message.SETTINGS_READ)
        self._manager.ready("the settings were read again")

    async def _watchdog(self) -> None:
        """Tell the service manager that the loop turns."""
        interval = systemd.watchdog_interval()
        while interval is not None:
            self._manager.watchdog()
            await asyncio.sleep(interval / 3)
