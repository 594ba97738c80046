"""What resolution comes to: an object, or the place of an entry."""

from __future__ import annotations

from typing import NamedTuple


class Found(NamedTuple):
    """A resolved object, or the place of an entry that may not exist.

    Attributes:
        path: canonical name; for what has no name in the tree, the kernel's word for it ("pipe:[123]").
        fd: O_PATH descriptor of the object; -1 for an entry whose object was not opened.
        parent: O_PATH descriptor of the directory that holds the entry; -1 when the object was looked up
        as such. name: last component in *parent*; empty when there is no parent.
        trailing_slash: whether the path ended in one.
        named: whether *path* is a name in the file system tree, now; of an entry, whether its directory is.
    """

    path: str
    fd: int
    parent: int = -1
    name: bytes = b""
    trailing_slash: bool = False
    named: bool = True

    @property
    def last(self) -> bytes:
        """The entry's name as the caller wrote it: the kernel wants a directory where a slash follows."""
        return self.name + b"/" if self.trailing_slash else self.name

    @property
    def anonymous(self) -> bool:
        """Whether it never had a name (pipe, socket, memory): no rule can speak of it."""
        return not self.named and (self.path[:1] != "/" or self.path.startswith("/memfd:"))
