"""`spec.model` of a FineTuneJob: where the pre-trained model is, and which classes it is to tell apart."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuneloop_api.v1alpha1.common import BaseModelUri
from tuneloop_api.v1alpha1.fine_tune_job.secret_reference import IN_BUCKET, TokenReference, lies_in_bucket
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only
from tuneloop_api.wire.text_formats import LINE, REVISION

ClassName = Annotated[str, LINE.text(most=128)]


class ModelSource(SpecModel):
    """The pre-trained model to start from."""

    uri: BaseModelUri
    """Where the model is: `hf://ORG/NAME` on the Hugging Face hub, `pvc://CLAIM/PATH` for a folder on a PersistentVolumeClaim of this namespace, `s3://BUCKET/PATH`,
    `gs://BUCKET/PATH` or `az://CONTAINER/PATH` for a folder in object storage, `job://NAME` for the model that another FineTuneJob of this namespace publishes (the job waits
    until that one has succeeded), or `file:///PATH` (local mode only; refused in a cluster). Its weights must be safetensors: pickled weights are refused. For example `hf://FacebookAI/roberta-base`."""
    revision: Annotated[str, REVISION.text(most=256)] | None = None
    """Branch, tag or commit of a model on the hub; refused for other addresses. Default: `main`. The commit that it meant is recorded in `status.lineage`.
    For example `refs/pr/1`."""
    secret_ref: TokenReference | None = None
    """Secret with a token of the hub, for gated and private models, or with the credentials of object storage. Only the pod of `prepare` gets them; refused for other
    addresses. Default: no token, or the workload identity of the pod. For example `{name: hugging-face}`."""
    labels: Annotated[list[ClassName], Field(min_length=2, max_length=1000)] | None = None
    """Names of the classes in the order of their ids, no two alike. Rows with another label are bad rows. Default: the distinct labels of the data, sorted.
    For example `[negative, neutral, positive]`."""
    chat_template: Annotated[str, Field(min_length=1, max_length=65536)] | None = None
    """Jinja template that makes one text of a conversation, in place of that of the model's tokenizer; it is published with the model. Applies only to `task: text-generation`.
    Default: that of the tokenizer. For example `"{% for message in messages %}{{ message.content }}{% endfor %}"`."""

    rules = (
        applies_only(
            "revision",
            to="hf:// models",
            hint="a folder has no revisions",
            cel="self.uri.startsWith('hf://')",
            holds=lambda model: model.uri.startswith("hf://"),
        ),
        applies_only(
            "secret_ref",
            to="hf://, s3://, gs:// and az:// models",
            hint="a folder needs no token",
            cel="self.uri.matches('^(hf|s3|gs|az)://')",
            holds=lambda model: model.uri.startswith("hf://") or lies_in_bucket(model.uri),
        ),
        Rule(
            field="secretRef.key",
            reason="FieldValueForbidden",
            message="applies only to hf:// models (in a Secret for object storage the keys are the names of variables, such as AWS_ACCESS_KEY_ID)",
            cel=f"!has(self.secretRef) || !has(self.secretRef.key) || !{IN_BUCKET}",
            holds=lambda model: (
                model.secret_ref is None or model.secret_ref.key is None or not lies_in_bucket(model.uri)
            ),
        ),
    )
