"""The pydantic model of a profile: which keys there are, and of what type.

It is imported to say what is wrong; see `tables.py` for why not before.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class EnvironmentModel(_Table):
    """`[environment]`."""

    pass_: list[str] = Field(default=[], alias="pass")
    drop: list[str] = []
    set: dict[str, str] = {}


class DescriptorsModel(_Table):
    """`[descriptors]`."""

    keep: list[int] = []


class RestrictModel(_Table):
    """`[restrict]`; the words are those of `restrict.CHOICES`."""

    ptrace: Literal["session", "deny"] = "session"
    user_namespaces: Literal["deny", "allow"] = "deny"
    setuid_bits: Literal["allow", "deny"] = "allow"
    ipc: Literal["session", "deny", "allow"] = "session"


class NetworkModel(_Table):
    """`[network]`; the words are those of `netsettings.NETWORK_CHOICES`."""

    namespace: Literal["host", "private"] = "host"
    follow_bind: bool = False


class ProfileModel(_Table):
    """The whole file."""

    name: str = ""
    description: str = ""
    extends: list[str] = []
    mode: Literal["enforce", "audit"] = "enforce"
    variables: dict[str, str] = {}
    rules: list[str] = []
    environment: EnvironmentModel = EnvironmentModel()
    umask: str = ""
    limits: dict[str, Any] = {}
    descriptors: DescriptorsModel = DescriptorsModel()
    restrict: RestrictModel = RestrictModel()
    network: NetworkModel = NetworkModel()
