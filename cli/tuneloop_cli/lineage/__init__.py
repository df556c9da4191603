"""Where a served model comes from: revision, artifact, job, data, base model, and what asked for the job."""
