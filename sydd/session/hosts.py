"""Host names of rules, looked up when a session begins.

What comes back holds for the whole session: a name that leads elsewhere later opens nothing. Who answers for
the name then decides what the rule means.
"""

from __future__ import annotations

import socket


def addresses(name: str) -> tuple[str, ...]:
    """The addresses of a host, as the C library finds them (getaddrinfo(3)).

    Args:
        name: a host name in ASCII.

    Returns:
        Addresses without interfaces, each once; none where the name does not resolve now.
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    texts = [str(item[4][0]).partition("%")[0] for item in found]
    return tuple(dict.fromkeys(texts))
