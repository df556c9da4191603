"""The server's Prometheus metrics. Every label value is known before the first request: text that a client sends never becomes a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from tuneloop_api.contract.monitoring_profile import MOST_LABELS, OTHER
from tuneloop_server.text_kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.errors import Reason
    from tuneloop_server.model import Encoded
    from tuneloop_server.tasks.task import Prediction
    from tuneloop_server.text_kinds import TextKind

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_Metric = TypeVar("_Metric", bound=MetricWrapperBase)


class Monitoring:
    """All metrics of one server. Each has the labels `deployment`, `revision` and `task`; the scrape adds namespace and pod."""

    def __init__(self, config: ServerConfig, manifest: Manifest, *, label_names: Sequence[str]) -> None:
        """label_names: every label that a prediction may have (`Task.label_names`)."""
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.constant = {"deployment": config.name, "revision": config.revision, "task": manifest.task}
        self._requests = self._family(
            Counter, "tuneloop_requests", "Requests answered.", more=("protocol", "code", "reason")
        )
        self._request_seconds = self._family(
            Histogram, "tuneloop_request_duration_seconds", "Whole requests.", more=("protocol",), buckets=_SECONDS
        )
        self._answered: dict[tuple[str, int, Reason], tuple[Counter, Histogram]] = {}
        """The series of requests that came before, by protocol, status and reason: to look one up takes longer than to count."""
        self._queue_seconds = self._single(
            Histogram, "tuneloop_queue_duration_seconds", "Wait of a text for its pass.", buckets=_SECONDS
        )
        self._pass_seconds = self._single(
            Histogram, "tuneloop_inference_duration_seconds", "Forward passes.", buckets=_SECONDS
        )
        self._batch_size = self._single(
            Histogram, "tuneloop_batch_size_requests", "Texts in a forward pass.", buckets=_TEXTS
        )
        self.inflight = self._single(Gauge, "tuneloop_inflight_requests", "Requests that are being answered.")
        self._queue = self._single(Gauge, "tuneloop_queue_requests", "Texts that wait for a pass.")
        self.draining = self._single(Gauge, "tuneloop_draining", "1 once the server was asked to stop.")
        self._confidence = self._single(
            Histogram,
            "tuneloop_confidence_ratio",
            "Probability of each prediction: of a text's label, or of an entity.",
            buckets=_RATIOS,
        )
        self._calibrated = self._single(
            Histogram,
            "tuneloop_calibrated_confidence_ratio",
            "The same after temperature scaling; its mean estimates accuracy.",
            buckets=_RATIOS,
        )
        self._entropy = self._single(
            Histogram,
            "tuneloop_entropy_ratio",
            "Entropy of the labels' probabilities, as a part of the largest possible: 0 is sure, 1 is no idea.",
            buckets=_RATIOS,
        )
        self._truncated = self._single(
            Counter, "tuneloop_truncated_requests", "Requests with a text longer than the model takes."
        )
        texts = self._family(Counter, "tuneloop_texts", "Texts answered, by what is wrong with them.", more=("kind",))
        self._texts = {kind: texts.labels(**self.constant, kind=kind) for kind in KINDS}
        self._tokens = self._family(Counter, "tuneloop_tokens", "Tokens.", more=("direction",))
        self._prompt_tokens = self._tokens.labels(**self.constant, direction="prompt")
        self._predictions, self._other = self._by_label(label_names)
        self._loaded = self._single(Gauge, "tuneloop_model_loaded", "1 once the model answers.")
        self._load_seconds = self._single(
            Gauge, "tuneloop_model_load_duration_seconds", "Time from start to the first possible answer."
        )
        self._loaded_at = self._single(
            Gauge, "tuneloop_model_last_load_timestamp_seconds", "When the model was loaded; 0 until then."
        )
        self._show_model_info(config, manifest)
        self._adapter_texts: dict[str, Counter] = {}
        """By the names that are served; empty without adapters."""

    def _by_label(self, names: Sequence[str]) -> tuple[dict[str, Counter], Counter | None]:
        text = "Predictions by label: the most probable label of a text, or the type of each entity that was found."
        predictions = self._family(Counter, "tuneloop_predictions", text, more=("label",))
        counters = {name: predictions.labels(**self.constant, label=name) for name in names[:MOST_LABELS]}
        other = predictions.labels(**self.constant, label=OTHER) if len(names) > MOST_LABELS else None
        return counters, other

    def _show_model_info(self, config: ServerConfig, manifest: Manifest) -> None:
        engine, dtype = config.engine or "torch", config.dtype or "fp32"
        fixed = {"digest": manifest.digest(), "engine": engine, "dtype": dtype}
        self._family(Gauge, "tuneloop_model_info", "What is served.", more=tuple(fixed)).labels(
            **self.constant, **fixed
        ).set(1)

    def show_adapters(self, names: Sequence[str]) -> None:
        """Count texts by the model that is asked for. names: all that are served; the spec bounds how many."""
        texts = self._family(Counter, "tuneloop_adapter_texts", "Texts answered by an adapter.", more=("adapter",))
        self._adapter_texts = {name: texts.labels(**self.constant, adapter=name) for name in names}

    def answered_by(self, name: str, *, texts: int) -> None:
        """Count the texts of a request. name: of the model that was asked for."""
        if name in self._adapter_texts:
            self._adapter_texts[name].inc(texts)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Read the queue's length at each scrape."""
        self._queue.set_function(waiting)

    def model_loaded(self, seconds: float) -> None:
        """Note that the model answers, and how long loading took."""
        self._loaded.set(1)
        self._load_seconds.set(seconds)
        self._loaded_at.set_to_current_time()

    def request_done(self, protocol: str, *, status: int, reason: Reason, seconds: float) -> None:
        """Count a request that was answered."""
        key = (protocol, status, reason)
        if key not in self._answered:
            counter = self._requests.labels(**self.constant, protocol=protocol, code=str(status), reason=reason)
            self._answered[key] = counter, self._request_seconds.labels(**self.constant, protocol=protocol)
        counter, histogram = self._answered[key]
        counter.inc()
        histogram.observe(seconds)

    def encoded(self, windows: Sequence[Encoded]) -> None:
        """Count the tokens of a request, and whether a text of it was cut."""
        self._prompt_tokens.inc(sum(map(len, windows)))
        if any(window.truncated for window in windows):
            self._truncated.inc()

    def text_answered(self, kind: TextKind) -> None:
        """Count a text of a client."""
        self._texts[kind].inc()

    def predicted(self, predictions: Sequence[Prediction]) -> None:
        """Count predictions."""
        for prediction in predictions:
            self._confidence.observe(prediction.confidence)
            self._calibrated.observe(prediction.calibrated_confidence)
            self._entropy.observe(prediction.entropy)
            counter = self._predictions.get(prediction.label, self._other)
            if counter is not None:
                counter.inc()

    def generated_tokens(self) -> Counter:
        """Return the counter of tokens that a model generates."""
        return self._tokens.labels(**self.constant, direction="generated")

    def pass_done(self, *, waited: Sequence[float], seconds: float, texts: int | None = None) -> None:
        """Count a forward pass. waited: seconds in the queue of each text that left it. texts: in the pass; None: only these."""
        for wait in waited:
            self._queue_seconds.observe(wait)
        self._batch_size.observe(len(waited) if texts is None else texts)
        self._pass_seconds.observe(seconds)

    def _family(
        self, kind: type[_Metric], name: str, text: str, *, more: tuple[str, ...] = (), **options: Any
    ) -> _Metric:
        return kind(name, text, labelnames=(*self.constant, *more), registry=self.registry, **options)

    def _single(self, kind: type[_Metric], name: str, text: str, **options: Any) -> _Metric:
        return self._family(kind, name, text, **options).labels(**self.constant)
