"""The kinds of log records that have a MESSAGE_ID: `journalctl MESSAGE_ID=…` finds all of one kind.

The ids are stable and made by `systemd-id128 new`; docs/operations.md lists them.
"""

from __future__ import annotations

from enum import Enum


class Message(Enum):
    """A kind of record, and its MESSAGE_ID."""

    DAEMON_STARTED = "096c18589c2b482d92941a8a6b82f1a6"
    DAEMON_STOPPED = "843e2b954683436f816425f2be726947"
    SETTINGS_READ = "087eda8e23f04633a00010118bbed8bc"
    SESSION_STARTED = "9564e57617d44cc4b19f25e36feb11c4"
    SESSION_ENDED = "132c4fe42cd6453a90274a387e3355f1"
    SESSION_RESTORED = "dd734d643aa54cb8a1adc0cadffb083c"
    SESSION_LOST = "43aa697cfac943e0a8294e59d2b98a91"
    SESSION_KILLED = "68b12188ffd54465b6c5834d061fdaba"
    VIOLATION = "24097c6bbc534003a40d970e00e9ba69"
    WORKER_REPLACED = "4f99332736294ada81e8abfa74aaf954"
    RULES_CHANGED = "a2e9ffac8d6d4317ab2a034667bc9a9f"
    LOCK_CHANGED = "356e5b2a072a49d19c2af940a8d17cf4"
    LIMIT_REACHED = "e493f5bd7e1b4862a16179d7ab58c997"
    QUESTION = "e69bbcb08fcb4a4197cbb9de86f8cfc9"
    PROFILE_CHANGED = "e589b49eb4ac4e5b9b33d825571a6d8f"
    TROUBLE = "3d4368aaa0174898bd605a32d94d60f7"
