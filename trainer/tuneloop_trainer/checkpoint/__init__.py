"""Checkpoints in our own format: fragments as safetensors with a JSON index, and a manifest that commits them.

Nothing here is ever unpickled. One loader serves every ZeRO stage and every number of ranks. Digests find damage; they are no
defence against whoever can write the volume.
"""

from tuneloop_trainer.checkpoint.checkpoints import Checkpoints
from tuneloop_trainer.checkpoint.manifest import TrainState
from tuneloop_trainer.checkpoint.resume import Found

__all__ = ["Checkpoints", "Found", "TrainState"]
