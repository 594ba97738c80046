"""The closest right word, for hints in errors."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, choices: Iterable[str], otherwise: str = "") -> str:
    """A hint that names the choice closest to *word*.

    Args:
        word: what was written.
        choices: what would have been right.
        otherwise: the hint when no choice is close; "" lists nothing.
    """
    import difflib  # here: only a mistake pays for the import

    close = difflib.get_close_matches(word.lower(), list(choices), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else otherwise
