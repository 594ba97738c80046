"""The worker process of one session: prepares it as its owner, serves its listener, answers main.

What it says to main, each with `type`:

- `prepared` (`profile`, `engine`, `mode`, `private_network`, `tmp`: the private directory; descriptors:
  launch spec, state): a command can be launched now.
- `failed` (`kind`: "policy" or "setup"; `message`, `file`, `line`, `column`, `hint`): it cannot, and the
  worker ends.
- `serving` (`command`: pid; descriptor: the listener, where the worker had the command started): every call
  has somebody who answers it.
- `event` (`event`), `repeated` (`sequence`, `count`), `trouble` (`message`), `lost` (`count`: of these).
- `ask` (`question`: id; `event`): a caller waits for a decision.
- `ended` (`handled`, `events`, `failure`): the listener has hung up; the worker has removed the private
  directory, and ends.
- `reply` (`id`, and `error` or what was asked for).

What main says, each with `type`, and `id` where a reply is wanted:

- `attach` (`command`, `keeper`: pids; descriptor: the listener).
- `start` (`argv`; descriptors: the keeper's channel, then the command's, in the order of `numbers`).
- `rules` (`lines`), `lock` (`lock`), `mode` (`mode`), `check` (`access`, `object`), `decision` (`question`,
  `allow`), `statistics`.
- `end`: stop serving; the kernel answers ENOSYS to whoever is left, unless main still holds the listener.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sydd.daemon.channel import Channel
    from sydd.daemon.spawn import Held
    from sydd.daemon.spec import SessionSpec

EXIT_BROKEN = 70
"""Of a worker that could not even say what went wrong."""


def begin(spec: SessionSpec, channel: Channel, slot: int, notes: int) -> NoReturn:
    """Be the worker of a new session; called in the child of a fork.

    Args:
        spec: the session.
        channel: to main.
        slot: memfd of the request that is held.
        notes: memfd of what must not be forgotten.
    """
    raise NotImplementedError


def go_on(spec: SessionSpec, channel: Channel, held: Held) -> NoReturn:
    """Be the worker in place of one that has died; called in the child of a fork.

    Args:
        spec: the session.
        channel: to main.
        held: what main has of it.
    """
    raise NotImplementedError
