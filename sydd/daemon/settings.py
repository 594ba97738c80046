"""The settings that are in force: what the file says, but where an argument says otherwise."""

from __future__ import annotations

import argparse
import os

from sydd.daemon import config, log, sockets
from sydd.daemon.config import Config, LogTable


class Settings:
    """Read at the start, and again at a reload.

    Args:
        arguments: of the daemon.

    Attributes:
        own: whether it is a user's own daemon.
        now: what the file said when it was read last.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.own = bool(arguments.user) or os.geteuid() != 0
        self.now = Config()
        self._arguments = arguments
        self._logged = LogTable("", "")

    @property
    def keep(self) -> str:
        """Whether an orderly stop leaves sessions running: one of `config.KEEP`."""
        return self._arguments.keep_sessions or self.now.keep_sessions

    def read(self) -> None:
        """Read the file; the log is as it says from now on.

        Raises:
            PolicyError: it is wrong, or cannot be read; everything stays as it was.
        """
        path = self._arguments.config or (sockets.user_config() if self.own else config.SYSTEM)
        self.now = config.load(path, required=bool(self._arguments.config))
        logged = LogTable(self._arguments.log_level or self.now.log.level, self.now.log.format)
        if logged != self._logged:
            log.configure(logged.level, logged.format)  # type: ignore[arg-type]
            self._logged = logged
