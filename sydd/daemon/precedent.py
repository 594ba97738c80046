"""What an earlier session of the same kind came to, for the next one, where nothing has changed since.

A plan is a function of the policy, of the place and of what was seen of the file system. So the next session
that is to be the same reads the profile anew, looks again at what was looked at, and where all of that is
equal it is planned: the kernel gets its rules, and the worker what was written down, as before. That takes a
fraction of a plan.

A place has a private directory, which is the session's own. Its name is taken again once its directory is
gone; where somebody else has taken it meanwhile, there is no precedent.
"""

from __future__ import annotations

import io
import os
import pickle
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sydd.daemon import pickled
from sydd.daemon.channel import ChannelError, document, read_document
from sydd.plan.tree import HostTree
from sydd.profiles.store import unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sydd.plan.tree import Facts
    from sydd.policy.policy import Environment
    from sydd.policy.sessionlimits import SessionLimits
    from sydd.profiles.store import Read
    from sydd.session.launching import LaunchSpec
    from sydd.session.prepare import Place, Prepared


@dataclass(frozen=True, slots=True)
class Precedent:
    """An earlier session.

    Attributes:
        reads: what was read of its profile.
        place: where it ran.
        facts: what was seen of the file system.
        consulted: what the caller's environment was asked for; None for what is not set.
        environment: what of the environment reaches the command.
        limits: of each process, as `Policy.limits` has them.
        session_limits: of the session as a whole.
        variables: every variable's value.
        launch: what a launch needed, but for the environment, which is kept of no session.
        about: what main was told of it.
    """

    reads: tuple[Read, ...]
    place: Place
    facts: Facts
    consulted: Mapping[str, str | None]
    environment: Environment
    limits: tuple[tuple[str, int, int], ...]
    session_limits: SessionLimits
    variables: Mapping[str, str]
    launch: LaunchSpec
    about: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        reads: Sequence[Read],
        tree: HostTree,
        consulted: Mapping[str, str | None],
        launch: LaunchSpec,
        about: Mapping[str, Any],
    ) -> Precedent | None:
        """What a session is for the next one; None where that cannot be seen: addresses of hosts may change.

        Args:
            prepared: policy, plan and place.
            reads: what was read of the profile.
            tree: by which it was prepared.
            consulted: what the environment was asked for.
            launch: what a launch needs.
            about: what main is told of it.
        """
        if any(
            rule.net is not None and rule.net.host for rule in (*prepared.matcher.rules, *prepared.ceiling)
        ):
            return None
        policy = prepared.policy
        return cls(
            tuple(reads),
            prepared.place,
            tree.facts(),
            dict(consulted),
            policy.environment,
            policy.limits,
            policy.session_limits,
            prepared.variables,
            launch._replace(environment={}),
            about,
        )

    def saved(self) -> int:
        """A sealed memfd with it; the caller closes it.

        Raises:
            OSError: EMFILE, ENOMEM, ENOSPC.
        """
        return document("sydd-precedent", pickle.dumps(self, protocol=5))

    @classmethod
    def load(cls, fd: int) -> Precedent:
        """What `saved` gave.

        Args:
            fd: the memfd; stays the caller's. Who wrote it has this process's identity. It is of the same
                daemon, so of the same version.

        Raises:
            ChannelError: it is none.
        """
        try:
            precedent: Precedent = pickled.load(io.BytesIO(read_document(fd)))
        except pickle.UnpicklingError as error:
            raise ChannelError(f"a precedent that is none: {error}") from None
        return precedent

    def renewed(self, place: Place, above: str, environment: Mapping[str, str]) -> bool:
        """Whether a session comes to the same; then its private directory is there, which the caller removes.

        Args:
            place: where it is to run; its private directory is this one's.
            above: where private directories are made, canonical.
            environment: the caller's.
        """
        tmp = self.place.tmp
        if any(environment.get(name) != value for name, value in self.consulted.items()):
            return False
        if self.place != place or os.path.dirname(tmp) != above or not unchanged(self.reads):
            return False
        try:
            os.mkdir(tmp, 0o700)
        except OSError:
            return False
        if HostTree().has(self.facts):
            return True
        with suppress(OSError):
            os.rmdir(tmp)
        return False
