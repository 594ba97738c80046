"""`typing.NamedTuple` without typing, which is slow to import (`python -X importtime`).

For the few classes on the way of a launch; they are written as with that one, and read so by type checkers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple

    class _Meta(type):
        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            fields = namespace["__annotations__"]
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            made = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])  # noqa: PYI024  # it is this that makes one
            for key, value in namespace.items():
                if key not in ("__annotations__", "__module__"):
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Meta):
        """A class with this base is a `collections.namedtuple` of its annotated names, methods besides."""


__all__ = ["NamedTuple"]
