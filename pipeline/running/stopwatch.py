"""How long a stage took, over all calls that it took."""

import logging
import time

from data.artifact import Artifact
from data.errors import StorageError

# A kill loses so many seconds of the count at most.
_SECONDS_BETWEEN_NOTES = 10.0
_LOG = logging.getLogger(__name__)


class Stopwatch:
    """Runs from its making on, and goes on from what earlier calls that were cut short had come to."""

    def __init__(self, output: Artifact) -> None:
        self._output = output
        self._earlier = output.earlier_seconds()
        self._started = self._noted = time.monotonic()

    @property
    def of_this_call(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._started

    @property
    def seconds(self) -> float:
        """Of all calls together."""
        return self._earlier + self.of_this_call

    def tick(self) -> None:
        """To be called again and again: writes it down from time to time, as a kill gives no chance to."""
        now = time.monotonic()
        if now - self._noted >= _SECONDS_BETWEEN_NOTES:
            self._noted = now
            try:
                self._output.keep_seconds(self.seconds)
            except StorageError as error:
                # Worth a line and no training: the next note has all of it.
                _LOG.warning("the seconds that %s took so far are not noted: %s", self._output.node, error)
