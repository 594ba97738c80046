"""Files that come with sydd and are no code: units, and man pages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_SHIPPED: Final = Path(__file__).parent / "share"
_CHECKOUT: Final = Path(__file__).parents[1]


def units() -> Path:
    """The directory with systemd's files: of the installed package, else of the checkout."""
    shipped = _SHIPPED / "systemd"
    return shipped if shipped.is_dir() else _CHECKOUT / "systemd"


def man_pages() -> dict[str, str]:
    """The man pages by file name: those of the installed package, else made anew from the checkout.

    Raises:
        FileNotFoundError: neither is there.
    """
    shipped = _SHIPPED / "man"
    if shipped.is_dir():
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(shipped.iterdir())}
    from sydctl.manual.pages import build

    return build()
