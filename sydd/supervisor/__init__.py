"""The way of one request, a module a stage.

`notification` (what the kernel hands over) → `request` (with the arguments read from memory) → `target`
(the resolved objects, by `resolve`) → `verdict` (what the policy says, and which rule) → `answer` (errno,
continue, value, descriptor; what is done for the caller is in `perform`) → `event` (what happened, to
whom, why). `worker` turns the wheel.
"""
