"""The contract between Tuneloop's programs: custom resources, run configuration, results, progress, artifact, exit codes.

Everything here is data: pydantic models and constants. Nothing in this package does anything except `crd`, which writes files, and
`contract.pid1`, with which a program of a container handles SIGTERM.
"""
