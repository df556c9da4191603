"""The comparator: asks two revisions the same requests and counts how their answers differ. A program of its own, one pod beside a roll-out.

It gets copies of live requests from Envoy, and golden requests from a file. The client's answer is not among the copies, so it asks both revisions
itself. It keeps counts and nothing else: no text is written anywhere. It never imports torch, transformers or numpy.

What lies here, from pure to process: `verdicts`, `class_pairs`, `tally`, `labelled`, `rate` (pure) · `golden_rows` (the file) · `connection`, `revision`
(HTTP) · `pairs` (asks both) · `backlog`, `copies`, `replays` (where requests come from) · `counts`, `metrics`, `control` (what is read of it) · `service`.
"""
