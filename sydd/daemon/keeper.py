"""The keeper of a session whose command the daemon started: parent and subreaper of the command.

It has nothing else to do, so that it outlives the worker, and main. What it says to main, each with `type`:

- `started` (`pid`; descriptor: pidfd of the command).
- `status` (`status`: exit status, 128 + N when signal N ended it): the command has ended.
- `empty`: the session's last process has gone; the keeper ends.

What main says: `kill`: end every process of the session; `signal` (`number`): send it to the command.
"""
