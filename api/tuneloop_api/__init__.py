"""The contract between Tuneloop's programs: custom resources, run configuration, results, progress, artifact, exit codes.

Everything here is data: pydantic models and constants. Nothing in this package does I/O except `crd`, which writes files.
"""
