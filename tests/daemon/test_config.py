"""The daemon's settings: read, and wrong ones named with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from sydd.daemon import config
from sydd.policy.errors import PolicyError


def test_every_key_is_read() -> None:
    """What a file says is what there is; what it does not say has its default."""
    text = """
keep_sessions = "never"
[limits]
sessions = 3
[metrics]
address = "127.0.0.1:9290"
[log]
format = "json"
"""
    found = config.parse(text, "sydd.toml")
    assert found.keep_sessions == "never"
    assert (found.limits.sessions, found.limits.connections) == (3, config.LimitsTable().connections)
    assert found.metrics.address == "127.0.0.1:9290"
    assert (found.log.level, found.log.format) == ("info", "json")


def test_no_file_is_an_empty_one(tmp_path: Path) -> None:
    """Unless it was asked for."""
    missing = f"{tmp_path}/none.toml"
    assert config.load(missing) == config.Config()
    with pytest.raises(PolicyError, match="no such file"):
        config.load(missing, required=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("keep_session = 1\n", "f:1:1: unknown key 'keep_session' (did you mean 'keep_sessions'?)"),
        ("[limit]\n", "f:1:2: unknown key 'limit' (did you mean 'limits'?)"),
        ("[limits]\nlevel = 3\n", "f:2:1: unknown key 'level' in [limits] (it belongs in [log])"),
        (
            "[limits]\nsessions = 0\n",
            "f:2:12: 'sessions' takes a count from 1 to 1000000, not 0",
        ),
        (
            '[limits]\nsessions = "8"\n',
            "f:2:13: 'sessions' takes a count from 1 to 1000000, not '8'",
        ),
        ("limits = 3\n", "f:1:10: 'limits' takes a table (write [limits] above it)"),
        ('[log]\nlevel = "inf"\n', "f:2:10: 'level' cannot be 'inf' (did you mean 'info'?)"),
        (
            '[metrics]\naddress = "0.0.0.0:80"\n',
            (
                "f:2:12: metrics are served on no such address: '0.0.0.0:80' "
                "(write 'unix:/run/sydd/metrics.sock' or '127.0.0.1:9290')"
            ),
        ),
        ("[log\n", "f:1:5: not TOML: Expected ']' at the end of a table declaration"),
    ],
)
def test_errors_name_their_place(text: str, expected: str) -> None:
    """One line: file, line, column, what is wrong, what would be right."""
    with pytest.raises(PolicyError) as caught:
        config.parse(text, "f")
    assert str(caught.value) == expected
