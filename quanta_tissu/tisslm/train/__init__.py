"""The trainer: optimizers, schedules, checkpoints, callbacks."""
