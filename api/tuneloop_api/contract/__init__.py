"""What passes between Tuneloop's programs: run configuration, defaults, results, progress, artifact, exit codes."""
