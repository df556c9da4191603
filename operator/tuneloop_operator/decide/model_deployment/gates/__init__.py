"""Gates of a roll-out: tests with a margin, as pure statistics. No I/O, no clock.

From counts to an action: a measure (`proportions`, `paired`, `latency`, `calibration`) turns counts into `Evidence`; `judge` compares it with the
margin at a planned `looks.Look` and gives a `verdict.GateResult`; `limits` folds the results of a step into an action. `power` says before the
roll-out what a gate can decide, and `undecidable` what it cannot. `counts` and `observations` read the comparator's counts; `..gate_readings` puts all
of it together, with what is remembered of a gate (`gate_memory`). The reasons are in docs/decisions/0039-gates-are-tests-with-a-margin.md.
"""
