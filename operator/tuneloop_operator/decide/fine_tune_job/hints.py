"""What a person can do about each class of failure. A hint in the termination message is more specific and comes first."""

from __future__ import annotations

from tuneloop_api.wire.failure_class import FailureClass

HINTS = {
    FailureClass.OUT_OF_MEMORY_GPU: "Set a smaller training.microBatchSize or data.maxTokens, or raise deepspeed.stage; the result of training stays the same with another microBatchSize.",
    FailureClass.OUT_OF_MEMORY_HOST: "Raise resources.memory (resources.prepare.memory or resources.export.memory for these stages).",
    FailureClass.COLLECTIVE: "A pod lost its peers. Look at the node's network and at the other pods' logs; it is restarted from the newest checkpoint.",
    FailureClass.HANG: "No step was made for too long. The stacks of all ranks are in the pods' logs.",
    FailureClass.STORAGE: "Look at the claim: is it full, read-only or gone? Its events say more on a cluster.",
    FailureClass.EVICTED: "The pod was removed from its node; it is restarted from the newest checkpoint. Requests equal to real use are evicted last.",
    FailureClass.NODE_LOST: "The node went away; training goes on elsewhere from the newest checkpoint.",
    FailureClass.PREEMPTED: "A more important pod took its place; training goes on from the newest checkpoint as soon as there is room.",
    FailureClass.NON_FINITE_LOSS: "Lower training.learningRate, use a longer warm-up, or set training.precision: fp32.",
    FailureClass.USER_CODE: "The trainer raised an error that a restart cannot mend; the log of the pod tells where.",
    FailureClass.DATA: "Look at the file and row that the message names; data.validate.maxBadFraction tolerates some bad rows.",
    FailureClass.CONFIG: "Correct the field that the message names, and create the job again.",
    FailureClass.MODEL_ACCESS: "Check model.uri and model.revision; the weights must be safetensors, and pods must be able to read them.",
    FailureClass.IMAGE_PULL: "Check spec.image (or the operator's image setting) and the node's access to its registry.",
    FailureClass.CHECKPOINT_LOST: 'Training does not restart at step 0 by itself: look for the checkpoints on the claim, or create the job again. With the annotation tuneloop.dev/accept-lost-checkpoint: "true" the job restarts at step 0.',
    FailureClass.PREPARED_DATA_LOST: "The data is prepared again from its sources; see who deletes or changes files on the claim.",
    FailureClass.START_DEADLINE: "Make room for the pods (nodes, GPUs, quota), ask for less in resources, set scheduling.minNodes, or give failurePolicy.startDeadline more time; then create the job again.",
    FailureClass.DEADLINE_EXCEEDED: "Create the job again with a larger activeDeadlineSeconds; its checkpoints are still there.",
    FailureClass.BUDGET_EXCEEDED: "Create the job again with a larger budget.maxGpuHours; its checkpoints are still there.",
    FailureClass.UNKNOWN: "Look at the log of the pod that failed.",
}
