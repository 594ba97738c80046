"""A stream of replies to one call."""

from __future__ import annotations

from collections.abc import Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from sydd.client.connection import Connection

    Item = TypeVar("Item")
else:
    Item = object


class Stream(Iterator[Item]):
    """An iterator over what comes, which ends with the stream; closing it ends the call.

    Args:
        connection: for this call alone; owned from now on.
        method: what to call.
        field: of each reply that is an item.
        parameters: of the call.
    """

    def __init__(
        self, connection: Connection, method: str, field: str, parameters: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._field = field
        self._ended = False
        try:
            connection.send(method, parameters, more=True)
            connection.patient()
        except BaseException:
            connection.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for select and poll; ask `buffered` first."""
        return self._connection.fileno()

    @property
    def buffered(self) -> bool:
        """Whether an item has come already, so that the descriptor need not be readable."""
        return self._connection.buffered

    def close(self) -> None:
        """End it; a second time is fine."""
        self._ended = True
        self._connection.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        if self._ended:
            raise StopIteration
        try:
            parameters, more = self._connection.receive_plain()
        except BaseException:
            self.close()
            raise
        if not more:
            self.close()
            raise StopIteration
        return parameters[self._field]  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
