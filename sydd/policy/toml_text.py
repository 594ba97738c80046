"""TOML text to values; an error names its place as all others of policy do."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from sydd.policy.errors import PolicyError, Source

_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_toml(text: str, file: str) -> dict[str, Any]:
    """The values of TOML text.

    Args:
        text: TOML.
        file: what errors call it.

    Raises:
        PolicyError: it is none, with line and column.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _TOML_PLACE.search(message)
        if found is None:
            raise PolicyError(f"not TOML: {message}", Source(file)) from None
        message = message[: found.start()]
        lines = text.replace("\r\n", "\n").split("\n")
        if found[1]:
            line, column = int(found[1]), int(found[2])
        else:
            line, column = len(lines), len(lines[-1]) + 1
        if message == "Cannot overwrite a value":
            # tomllib points behind the value; what is wrong is the key before it
            key = lines[line - 1].partition("=")[0].strip()
            place = Source(file, line, lines[line - 1].find(key) + 1)
            raise PolicyError(f"'{key}' is there twice", place, "remove one of them") from None
        word = lines[line - 1][column - 1 :].strip()
        quoted = f" at '{word}'" if word else ""
        hint = "a ',' is missing before it, or a ']'" if message == "Unclosed array" else ""
        raise PolicyError(f"not TOML{quoted}: {message}", Source(file, line, column), hint) from None
