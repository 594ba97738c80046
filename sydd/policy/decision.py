"""What a matcher answers."""

from __future__ import annotations

from typing import NamedTuple

from sydd.policy.access import Action
from sydd.policy.bind import BoundRule


class Decision(NamedTuple):
    """What happens to an access.

    Attributes:
        action: never None; the default one where no rule matches.
        rule: the rule that decided, None for the default.
    """

    action: Action
    rule: BoundRule | None
