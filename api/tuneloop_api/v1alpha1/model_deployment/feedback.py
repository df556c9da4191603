"""Labels that come late: `spec.feedback` of a ModelDeployment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, Name, positive_duration
from tuneloop_api.v1alpha1.fine_tune_job.secret_reference import SecretReference
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only, exactly_one
from tuneloop_api.wire.text_formats import BUCKET_URI, SUB_PATH

DEFAULT_LABEL_DELAY = "1d"
DEFAULT_SAMPLE_RATE = 0.05
DEFAULT_RETENTION = "90d"
IS_ON_CEL = "(has(self.feedback) && (!has(self.feedback.enabled) || self.feedback.enabled))"
"""Whether predictions get tokens, in CEL on the spec of a ModelDeployment."""
_KEEPS_CEL = "self.?storeInputs.orValue('none') != 'none'"


class FeedbackStorage(SpecModel):
    """Where rows of feedback are kept: exactly one of `claim` and `uri`."""

    claim: Name | None = None
    """PersistentVolumeClaim of this namespace that the servers write to, best one of its own. Servers on several nodes need one that can be mounted ReadWriteMany. Not together with
    `uri`. For example `feedback`."""
    sub_path: Annotated[str, SUB_PATH.text(most=256)] | None = None
    """Folder inside the claim under which everything is kept; it is made if it is not there. No part of it may be `.` or `..`. Applies only to `claim`. Default: the claim's root.
    For example `team-a`."""
    uri: Annotated[str, BUCKET_URI.text(most=1024)] | None = None
    """Folder in object storage under which everything is kept: `s3://BUCKET/PATH`, `gs://BUCKET/PATH` or `az://CONTAINER/PATH`. Not together with `claim`. For example
    `s3://labels/team-a`."""
    secret_ref: SecretReference | None = None
    """Secret with the credentials of the bucket, by the names of variables, such as `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. The servers get them, and `prepare` of the jobs
    that read the feedback. Applies only to `uri`. Default: the workload identity of the pods. For example `{name: labels-bucket}`."""

    rules = (
        exactly_one("claim", "uri"),
        applies_only(
            "sub_path",
            to="claim",
            hint="the path of uri is the folder",
            cel="has(self.claim)",
            holds=lambda storage: storage.claim is not None,
        ),
        applies_only(
            "secret_ref",
            to="uri",
            hint="a claim needs no credentials",
            cel="has(self.uri)",
            holds=lambda storage: storage.uri is not None,
        ),
    )


class FeedbackOptions(SpecModel):
    """Whether predictions go out with a token, with which clients send back the label that was right."""

    enabled: bool | None = None
    """Whether predictions get tokens and labels are counted. The keys are in the Secret `NAME-feedback` of this namespace, under `keys`, one a line: the first signs. Default: true."""
    label_delay: Duration | None = None
    """Time after which most labels of a prediction have come: the labels of a day are compared once the day has been over for so long. Whole numbers with the units d, h, m, s,
    longer than 0s. Default: 1d. For example `12h`."""

    store_inputs: Literal["none", "sample", "all"] | None = None
    """Whether feedback is kept as rows that a FineTuneJob reads as `feedback://NAME`: `none` keeps counts alone; `sample` and `all` keep each label, and the text that a client
    sends with it of a random part of the predictions, or of all. Default: `none`."""
    sample_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Part of the predictions whose text may be kept, more than 0, at most 1. Applies only to `storeInputs: sample`. Default: 0.05. For example `0.2`."""
    redact: bool | None = None
    """Whether e-mail and IP addresses, bank accounts, cards, phone numbers and tokens are masked in texts before they are written. Default: true."""
    retention: Duration | None = None
    """How long rows are kept; the files of a day are removed once the day has been over for so long. Whole numbers with the units d, h, m, s, longer than 0s. Default: 90d.
    For example `30d`."""
    storage: FeedbackStorage | None = None
    """Where rows are kept, a claim or a bucket; needed with `storeInputs: sample` and `all`. For example `{claim: feedback}`."""

    @property
    def keeps_rows(self) -> bool:
        """Whether feedback is written as rows."""
        return self.is_on and self.store_inputs not in {None, "none"}

    @property
    def is_on(self) -> bool:
        """Whether predictions get tokens."""
        return self.enabled is not False

    rules = (
        positive_duration("label_delay"),
        positive_duration("retention"),
        Rule(
            field="storage",
            message="must be given with storeInputs: sample and all, which are written there; for example {claim: feedback}",
            cel=f"has(self.storage) || !({_KEEPS_CEL})",
            holds=lambda feedback: feedback.storage is not None or feedback.store_inputs in {None, "none"},
        ),
        applies_only(
            "sample_rate",
            to="storeInputs: sample",
            cel="self.?storeInputs.orValue('none') == 'sample'",
            holds=lambda feedback: feedback.store_inputs == "sample",
        ),
        *(
            applies_only(
                field,
                to="storeInputs: sample and all",
                hint="nothing else is kept",
                cel=_KEEPS_CEL,
                holds=lambda feedback: feedback.store_inputs not in {None, "none"},
            )
            for field in ("redact", "retention", "storage")
        ),
    )
