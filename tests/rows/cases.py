"""Acts and cases: a call with its arguments, and the same with one form of path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from tests.rows.forms import HERE, MAIN, Form, forms
from tests.rows.script import PREPARED, call, do, number, opened


class Act(NamedTuple):
    """A call with all its arguments but the path.

    Attributes:
        label: for people.
        name: what it is about; empty where `held` says it.
        arguments: with `D` and `P` for directory descriptor and path.
        access: what it asks for first of that object, as rules spell it; empty where nothing is asked.
        follow: whether a last symbolic link is followed.
        every: whether it is made with many forms of path, the first such act of a row with every one; by its
            relative path alone otherwise.
        before, after: lines of script before and after it.
        held: path and flags of a descriptor that is the object: `D` is that.
        times: whether the times of the tree count.
        umask: of the caller.
        special: whether the tree has to have the rarer objects.
        stands_for: the call that events name, where it is another one.
    """

    label: str
    name: bytes
    arguments: str
    access: str = ""
    follow: bool = True
    every: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    held: tuple[bytes, int] | None = None
    times: bool = False
    umask: int = 0o022
    special: bool = False
    stands_for: str = ""


class Case(NamedTuple):
    """One act in one form: a script and what is known of its object.

    Attributes:
        row: name of the call.
        label: for people; with the row, unique.
        script: lines, without the first.
        act, form: where it comes from.
    """

    row: str
    label: str
    script: tuple[str, ...]
    act: Act
    form: Form


def cases(row: str, top: str, acts: list[Act], *, main: bool = False) -> Iterator[Case]:
    """The cases of one row.

    Args:
        row: name of the call.
        top: of the tree; stands in absolute paths.
        acts: of that row.
        main: with the most telling forms of path alone.
    """
    first = next((act for act in acts if act.every), None)
    for act in acts:
        for form in _forms_of(act, top):
            if act.every and (main or act is not first) and act.held is None and form.label not in MAIN:
                continue
            if form.needs_dirfd and "D" not in act.arguments.split():
                continue
            if form.magic and not act.follow:
                continue  # about the link in /proc itself, which no policy here allows to change
            arguments = [{"D": form.dirfd, "P": form.path}.get(word, word) for word in act.arguments.split()]
            yield Case(
                row,
                f"{act.label}, {form.label}",
                (
                    do("umask", number(act.umask)),
                    *form.prepare,
                    *act.before,
                    call(row, *arguments),
                    *act.after,
                ),
                act,
                form,
            )


def _forms_of(act: Act, top: str) -> Iterator[Form]:
    if act.held is None:
        yield from forms(top, act.name, every=act.every)
        return
    path, flags = act.held
    prepare = (opened(path, flags),)
    yield Form(f"of {os.fsdecode(path)}", "", PREPARED, prepare, b"", (path, path), needs_dirfd=True)
    if act.every:
        yield Form("O_PATH", "", PREPARED, (opened(path, os.O_PATH),), needs_dirfd=True)
        yield Form("not open", "", number(99), needs_dirfd=True)
        yield Form("negative", "", number(-1), needs_dirfd=True)
        yield Form("AT_FDCWD", "", HERE, needs_dirfd=True)
