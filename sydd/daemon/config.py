"""The daemon's own settings, /etc/sydd/sydd.toml: read at the start and at a reload; errors have a place.

Example:
    keep_sessions = "auto"

    [limits]
    sessions = 64
    connections = 256
    descriptors = 2048

    [metrics]
    address = "unix:/run/sydd/metrics.sock"

    [log]
    level = "info"
    format = "auto"
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sydd.policy.errors import PolicyError, Source
from sydd.policy.toml_place import Places
from sydd.policy.toml_text import read_toml
from sydd.policy.words import did_you_mean

SYSTEM: Final = "/etc/sydd/sydd.toml"

KEEP: Final = ("auto", "always", "never")
LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("auto", "journal", "json", "console")
_LOOPBACK: Final = re.compile(r"(?:127(?:\.\d{1,3}){3}|\[::1\]|localhost):(\d{1,5})")
_MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LimitsTable:
    """`[limits]`: what each user may have of the daemon at a time.

    Attributes:
        sessions: that are prepared, waiting or running.
        connections: to the control socket.
        descriptors: of the daemon that these sessions and connections take.
    """

    sessions: int = 64
    connections: int = 256
    descriptors: int = 2048


@dataclass(frozen=True, slots=True)
class MetricsTable:
    """`[metrics]`.

    Attributes:
        address: `unix:PATH`, or HOST:PORT of loopback; empty for none.
    """

    address: str = ""


@dataclass(frozen=True, slots=True)
class LogTable:
    """`[log]`.

    Attributes:
        level: what is less important is not logged.
        format: journal, json or console; auto for the first where systemd has it, else by the terminal.
    """

    level: str = "info"
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file.

    Attributes:
        keep_sessions: whether an orderly stop leaves sessions running; auto: where a descriptor store has
            them for the next daemon.
        limits: of each user.
        metrics: where they are served.
        log: what is logged, and how.
    """

    keep_sessions: str = "auto"
    limits: LimitsTable = field(default_factory=LimitsTable)
    metrics: MetricsTable = field(default_factory=MetricsTable)
    log: LogTable = field(default_factory=LogTable)


_TABLES: Final[dict[str, type]] = {"limits": LimitsTable, "metrics": MetricsTable, "log": LogTable}
_KEYS: Final = {"": ("keep_sessions", *_TABLES)} | {
    name: tuple(item.name for item in fields(kind)) for name, kind in _TABLES.items()
}
_WORDS: Final = {("keep_sessions",): KEEP, ("log", "level"): LEVELS, ("log", "format"): FORMATS}


def load(path: str = SYSTEM, *, required: bool = False) -> Config:
    """Read the settings.

    Args:
        path: the file.
        required: whether it has to be there; else one that is missing is an empty one.

    Raises:
        PolicyError: it is wrong, or cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        if required:
            raise PolicyError("no such file", Source(path)) from None
        return Config()
    except OSError as error:
        raise PolicyError(f"cannot read it: {error.strerror}", Source(path)) from None
    except UnicodeDecodeError:
        raise PolicyError("not UTF-8", Source(path), "TOML is UTF-8") from None
    return parse(text, path)


def parse(text: str, file: str) -> Config:
    """Check the settings.

    Args:
        text: TOML.
        file: what errors call it.

    Raises:
        PolicyError: at the first thing that is wrong, with its line and column.
    """
    data = read_toml(text, file)
    return _Reader(file, Places(text)).config(data)


class _Reader:
    """Reads one file; knows its places."""

    def __init__(self, file: str, places: Places) -> None:
        self._file = file
        self._places = places

    def config(self, data: dict[str, Any]) -> Config:
        """Check everything."""
        tables: dict[str, Any] = {}
        for name, value in data.items():
            if name not in _KEYS[""]:
                raise self._unknown((name,))
            if name not in _TABLES:
                tables[name] = self._value((name,), value)
                continue
            if not isinstance(value, dict):
                raise PolicyError(f"'{name}' takes a table", self._at_value(name), f"write [{name}] above it")
            for key in value:
                if key not in _KEYS[name]:
                    raise self._unknown((name, key))
            tables[name] = _TABLES[name](
                **{key: self._value((name, key), item) for key, item in value.items()}
            )
        return Config(**tables)

    def _value(self, way: tuple[str, ...], value: object) -> str | int:
        words = _WORDS.get(way)
        if words is not None:
            return self._word(way, value, words)
        if way == ("metrics", "address"):
            return self._address(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
            shown = f"'{value}'" if isinstance(value, str) else value
            message = f"'{way[-1]}' takes a count from 1 to {_MOST}, not {shown}"
            raise PolicyError(message, self._at_value(*way))
        return value

    def _word(self, way: tuple[str, ...], value: object, words: tuple[str, ...]) -> str:
        if isinstance(value, str) and value in words:
            return value
        choices = "write " + " or ".join(f"'{word}'" for word in words)
        hint = did_you_mean(value, words, choices) if isinstance(value, str) else choices
        raise PolicyError(f"'{way[-1]}' cannot be '{value}'", self._at_value(*way), hint)

    def _address(self, value: object) -> str:
        place = self._at_value("metrics", "address")
        hint = "write 'unix:/run/sydd/metrics.sock' or '127.0.0.1:9290'"
        if not isinstance(value, str):
            raise PolicyError(f"'address' takes a string, not {value}", place, hint)
        if not value or value.startswith("unix:/"):
            return value
        found = _LOOPBACK.fullmatch(value)
        if found is None or not 0 < int(found[1]) < 1 << 16:
            raise PolicyError(f"metrics are served on no such address: '{value}'", place, hint)
        return value

    def _unknown(self, way: tuple[str, ...]) -> PolicyError:
        word = way[-1]
        known = _KEYS[way[0] if len(way) > 1 else ""]
        hint = did_you_mean(word, known)
        if not hint:
            home = next((name for name, keys in _KEYS.items() if name and word in keys), "")
            hint = f"it belongs in [{home}]" if home else f"keys are {', '.join(known)}"
        table = f" in [{way[0]}]" if len(way) > 1 else ""
        return PolicyError(f"unknown key '{word}'{table}", Source(self._file, *self._places.key(way)), hint)

    def _at_value(self, *way: str) -> Source:
        return Source(self._file, *self._places.value(way))
