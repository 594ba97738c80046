"""The daemon's client for package managers and tools: synchronous, typed, standard library only.

    with Client() as client:
        with client.run("build", ["make", "-j2"], directory="/srv/build") as session:
            outcome = session.wait()

docs/python-client.md tells the rest.
"""

from sydd.client.client import Client
from sydd.client.connection import (
    CallError,
    CrowdedError,
    DisconnectedError,
    NotRunningError,
    TooSlowError,
    UnavailableError,
    find_socket,
)
from sydd.client.session import RunningSession
from sydd.client.stream import Stream
from sydd.wire.errors import (
    BadArgument,
    BadFrame,
    BadProfile,
    BeyondCeiling,
    ControlError,
    Failed,
    LimitReached,
    Locked,
    NoSuchProfile,
    NoSuchQuestion,
    NoSuchSession,
    NotSupervised,
    PermissionDenied,
)

__all__ = [
    "BadArgument",
    "BadFrame",
    "BadProfile",
    "BeyondCeiling",
    "CallError",
    "Client",
    "ControlError",
    "CrowdedError",
    "DisconnectedError",
    "Failed",
    "LimitReached",
    "Locked",
    "NoSuchProfile",
    "NoSuchQuestion",
    "NoSuchSession",
    "NotRunningError",
    "NotSupervised",
    "PermissionDenied",
    "RunningSession",
    "Stream",
    "TooSlowError",
    "UnavailableError",
    "find_socket",
]
