"""Text from tokens as they come: whole characters only, and nothing that may belong to a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from quanta_tissu.errors import ConfigError


class TextStream:
    """Turns the bytes of tokens into text that never has to be taken back.

    Two things are held back until more is known: the first bytes of a UTF-8 character that is not complete, and
    the end of the text while it may be the beginning of a stop string. Bytes that cannot belong to any character
    become U+FFFD; an incomplete character at the very end is left out.

    Args:
        stop: Strings that end the text; they are not part of it.

    Attributes:
        stopped: A stop string was found.

    Raises:
        ConfigError: A stop string is empty.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        if "" in stop:
            raise ConfigError(
                "a stop string is empty, so there would be no text at all",
                hint="remove it, or give the text at which to stop",
            )
        self.stopped = False
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def feed(self, data: bytes) -> str:
        """Take the bytes of one token and return the text that is now certain, often none."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(data)
        found = [position for position in map(self._held.find, self._stop) if position >= 0]
        if found:
            self.stopped = True
            self._held = self._held[: min(found)]
            return self.finish()
        certain = len(self._held) - self._suspicious()
        text, self._held = self._held[:certain], self._held[certain:]
        return text

    def finish(self) -> str:
        """Return the text still held back; after this the stream is spent."""
        text, self._held = self._held, ""
        return text

    def _suspicious(self) -> int:
        """Characters at the end that are the beginning of a stop string."""
        lengths = (
            length
            for stop in self._stop
            for length in range(1, min(len(stop), len(self._held) + 1))
            if self._held.endswith(stop[:length])
        )
        return max(lengths, default=0)
