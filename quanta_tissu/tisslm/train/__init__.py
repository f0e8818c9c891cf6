"""The trainer: optimizers, schedules, checkpoints, callbacks.

from quanta_tissu.tisslm.train import train

result = train(config, "runs/baby")
"""

from quanta_tissu.tisslm.train.callbacks import Callback
from quanta_tissu.tisslm.train.reports import TrainResult
from quanta_tissu.tisslm.train.run import train

__all__ = ["Callback", "TrainResult", "train"]
