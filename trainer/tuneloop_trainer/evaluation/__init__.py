"""What the predictions are worth: metrics, calibration, intervals, simpler means. Pure, but for `predictions`, which reads files."""
