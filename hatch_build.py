"""Puts what is no code into the wheel: systemd's files, and the man pages, made from the sources."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedFiles(BuildHookInterface):  # type: ignore[type-arg]  # generic in name only
    """Adds sydctl/share to a wheel; a checkout that is installed as it stands has both in place."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the pages, and tell where everything goes.

        Args:
            version: `standard` or `editable`.
            build_data: `force_include` and `shared_data` map files to places.
        """
        if version != "standard":
            return
        sys.path.insert(0, self.root)
        from sydctl.manual.pages import build

        self._pages = tempfile.TemporaryDirectory(prefix="sydd-man-")
        build_data["force_include"][str(Path(self.root) / "systemd")] = "sydctl/share/systemd"
        for name, text in build(Path(self.root) / "docs").items():
            page = Path(self._pages.name) / name
            page.write_text(text, encoding="utf-8")
            build_data["force_include"][str(page)] = f"sydctl/share/man/{name}"
            # For `man` of an environment: its share/man is beside its bin.
            build_data["shared_data"][str(page)] = f"share/man/man{name.rpartition('.')[2]}/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # the interface
        """Remove the pages.

        Args:
            version: as in `initialize`.
            build_data: the same.
            artifact_path: the wheel.
        """
        if version == "standard":
            self._pages.cleanup()
