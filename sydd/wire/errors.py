"""The errors of the control socket: the daemon raises them, and the client raises the same ones again.

Standard library only, and little of it: the client has to be quick to start.
"""

# No `from __future__ import annotations` here: the annotations of an error are its fields.

from sydd.wire import INTERFACE

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from typing import Any, ClassVar


class ControlError(Exception):
    """What a caller gets instead of an answer. Each kind has its fields as attributes.

    Attributes:
        FIELDS: name and type of each field, in order.
        TEXT: the line for people, a format string over the fields.
    """

    FIELDS: "ClassVar[dict[str, Any]]" = {}  # noqa: RUF012  # it is one, in a string
    TEXT: "ClassVar[str]" = ""

    def __init_subclass__(cls) -> None:
        cls.FIELDS = dict(cls.__annotations__)

    def __init__(self, *values: object, **named: object) -> None:
        fields = dict(zip(self.FIELDS, values, strict=False)) | named
        super().__init__(*fields.values())
        if fields.keys() != self.FIELDS.keys() or len(values) > len(self.FIELDS):
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.FIELDS)}")
        for name, value in fields.items():
            setattr(self, name, value)

    def parameters(self) -> "dict[str, Any]":
        """The fields by name."""
        return {name: getattr(self, name) for name in self.FIELDS}

    @classmethod
    def qualified(cls) -> str:
        """The error's name on the wire."""
        return f"{INTERFACE}.{cls.__name__}"

    def __str__(self) -> str:
        return self.TEXT.format_map(self.parameters())


class NoSuchSession(ControlError):
    """There is no such session, or it is another user's."""

    session: str
    TEXT = "no session '{session}'"


class NoSuchProfile(ControlError):
    """There is no such profile. The hint says which one may be meant."""

    name: str
    hint: str

    def __str__(self) -> str:
        return f"no profile '{self.name}'{f' ({self.hint})' if self.hint else ''}"


class NoSuchQuestion(ControlError):
    """There is no such question, it is another user's, or it is decided already."""

    question: str
    TEXT = "no open question '{question}'"


class BadProfile(ControlError):
    """A profile or a rule cannot be used."""

    message: str
    file: str
    line: int
    column: int
    hint: str

    def __str__(self) -> str:
        place = ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {self.message}{hint}" if self.file else f"{self.message}{hint}"


class PermissionDenied(ControlError):
    """This caller may not do that."""

    reason: str
    TEXT = "not permitted: {reason}"


class LimitReached(ControlError):
    """There are as many of something as there may be."""

    what: str
    maximum: int
    TEXT = "too many {what}: at most {maximum}"


class Locked(ControlError):
    """The session's lock forbids it to this caller."""

    session: str
    lock: str
    TEXT = "session '{session}' is locked ({lock})"


class BeyondCeiling(ControlError):
    """A rule would permit more than the profile's `[limits] runtime` lets rules permit at run time."""

    rule: str
    ceiling: list[str]

    def __str__(self) -> str:
        allowed = ", ".join(f"'{line}'" for line in self.ceiling) or "nothing"
        return f"'{self.rule}' permits more than [limits] runtime of the profile, which has {allowed}"


class NotSupervised(ControlError):
    """A rule is about an access that this session's supervisor does not see."""

    access: str
    TEXT = "'{access}' is not supervised in this session, so that no rule about it would take effect"


class BadArgument(ControlError):
    """An argument has a value that it cannot have."""

    name: str
    reason: str
    TEXT = "{name}: {reason}"


class BadFrame(ControlError):
    """What was received is no call; the connection is closed after this reply."""

    reason: str
    TEXT = "no call: {reason}"


class Failed(ControlError):
    """It could not be done: the machine or sydd itself did not do its part."""

    reason: str
    TEXT = "{reason}"


ERRORS: tuple[type[ControlError], ...] = (
    NoSuchSession,
    NoSuchProfile,
    NoSuchQuestion,
    BadProfile,
    PermissionDenied,
    LimitReached,
    Locked,
    BeyondCeiling,
    NotSupervised,
    BadArgument,
    BadFrame,
    Failed,
)
"""Every error of the interface."""
