"""From a row of a file to a row of a task."""
