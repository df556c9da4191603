"""What a person should know of prepared data, one sentence each: for the log, the status of the job and the console. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_trainer.dataset.splits import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tuneloop_trainer.data.collect import LocatedSource

_SHOWN = 3


def notes_of(report: Mapping[str, Any]) -> list[str]:
    """Return the notes for a data report, perhaps none. A report without `tokens` is one of rows that were not tokenized yet."""
    return [
        *_left_out(report),
        *_contradictions(report),
        *_moved_for_classes(report),
        *_missing_classes(report),
        *_alike_labels(report),
        *_numbers(report),
        *_windows(report),
    ]


def source_notes(sources: Sequence[LocatedSource]) -> list[str]:
    """Return what the snapshots of this job hold, of feedback and of object storage, a sentence a source."""
    return [*feedback_notes(sources), *_object_notes(sources)]


def feedback_notes(sources: Iterable[LocatedSource]) -> list[str]:
    """Return what became of the feedback that a job reads, a sentence a source. It is of the job, and not of the data set, which an earlier job may have made."""
    return [
        f"{source.settings.uri} for {source.field.split('[')[0]}: feedback up to {found['cutoff']} for {found['predictions']:,} predictions, "
        f"{found['withoutText']:,} of them without a text, {found['withoutLabel']:,} with a text and without a label{_of_other_form(found)}; "
        f"{found['sides'][SPLITS[source.split]]:,} rows are of this side{_of_window(found)}"
        for source in sources
        if (found := source.feedback) is not None
    ]


def _object_notes(sources: Iterable[LocatedSource]) -> Iterator[str]:
    for source in sources:
        if (found := source.objects) is not None:
            objects = "1 object" if found["count"] == 1 else f"{found['count']:,} objects"
            yield f"{source.settings.uri} for {source.field.split('[')[0]}: {objects}, {found['bytes']:,} bytes, {found['digest']}"


def _of_other_form(found: Mapping[str, Any]) -> str:
    others = found.get("ofOtherForm", 0)
    return f", {others:,} with a text of another format than the job's" if others else ""


def _of_window(facts: Mapping[str, Any]) -> str:
    return f" and of the last {facts['window']}" if "window" in facts else ""


def _left_out(report: Mapping[str, Any]) -> Iterator[str]:
    duplicates = report["duplicates"]
    reasons = {
        "cannot be used (data.validate)": report["bad"]["count"],
        "are closer to labelRule.above than dropWithin": report["dropped"],
        "repeat the text of an earlier row (data.deduplicate.exact)": duplicates["withinSplit"],
        "have a text that stands in another split, too (data.deduplicate.acrossSplits)": duplicates["acrossSplits"],
        "have nothing to learn before the cut (data.maxTokens)": sum(report["tokens"]["withoutTarget"].values())
        if "tokens" in report
        else 0,
    }
    total = sum(reasons.values())
    if total:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
        yield f"{total:,} of {sum(source['read'] for source in report['sources']):,} rows were left out: {listed}"


def _contradictions(report: Mapping[str, Any]) -> Iterator[str]:
    duplicates = report["duplicates"]
    count = duplicates["conflictingLabels"]
    if count:
        kept = "the first label stays; " if duplicates["withinSplit"] else ""
        yield (
            f"{count:,} rows have the text of an earlier row and another label, for example {duplicates['firstConflict']}: "
            f"{kept}give each text one label"
        )


def _moved_for_classes(report: Mapping[str, Any]) -> Iterator[str]:
    count = _facts(report, "split").get("forClasses", 0)
    if count:
        yield (
            f"{count:,} {'row was' if count == 1 else 'rows were'} moved, so that every split has a row of each class: "
            "with more data such a row may change sides (data.split.method: hash)"
        )


def _missing_classes(report: Mapping[str, Any]) -> Iterator[str]:
    for split, classes in _facts(report, "label-ids").get("missing", {}).items():
        more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
        yield (
            f"the {split} split has no row of {', '.join(map(repr, classes[:_SHOWN]))}{more}: nothing is measured of it there (data.allowMissingClasses)"
        )


def _alike_labels(report: Mapping[str, Any]) -> Iterator[str]:
    groups: Sequence[Sequence[str]] = _facts(report, "label-ids").get("alike", [])
    if not groups:
        return
    rows = {
        label: sum(classes.get(label, 0) for classes in report["classes"].values())
        for group in groups
        for label in group
    }
    shown = "; ".join(
        " and ".join(f"{label!r} ({rows[label]:,} rows)" for label in group[:_SHOWN]) for group in groups[:_SHOWN]
    )
    more = f"; and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    yield (
        f"labels that look alike are different classes: {shown}{more}: write each class in one way, "
        "or name the classes in model.labels"
    )


def _numbers(report: Mapping[str, Any]) -> Iterator[str]:
    facts = _facts(report, "label-ids")
    if facts.get("numbers"):
        yield f"the labels are {facts['classes']:,} numbers, each of them a class: labelRule in the source makes two classes of them"


def _windows(report: Mapping[str, Any]) -> Iterator[str]:
    windows, rows = report.get("tokens", {}).get("windows"), report.get("rows", {})
    if windows and sum(windows.values()) > sum(rows.values()):
        yield (
            f"{sum(rows.values()):,} rows are read in {sum(windows.values()):,} windows of at most {report['tokens']['max']:,} tokens (data.maxTokens): "
            "batches, epochs and the loss count windows, metrics count rows"
        )


def _facts(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((step for step in report["steps"] if step["name"] == name), {})
