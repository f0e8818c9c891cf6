"""What runs the operations: the tape, and the engines that choose an implementation of each."""

from quanta_tissu.tisslm.engine.engines import ENGINES, Engine, current, get, use
from quanta_tissu.tisslm.engine.tape import Tape, Variable

__all__ = ["ENGINES", "Engine", "Tape", "Variable", "current", "get", "use"]
