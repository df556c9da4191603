"""Checkpoints in a format of our own: one safetensors file for each rank with a JSON index, and a manifest that commits them.

No file is ever unpickled. One loader serves every ZeRO stage and every number of ranks. Digests find damage; they do not protect
against somebody who can write to the volume.
"""

from tuneloop_trainer.checkpoint.checkpoints import Checkpoints
from tuneloop_trainer.checkpoint.manifest import TrainState
from tuneloop_trainer.checkpoint.resume import Found

__all__ = ["Checkpoints", "Found", "TrainState"]
