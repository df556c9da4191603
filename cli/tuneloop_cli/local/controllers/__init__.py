"""The controllers of local mode: Jobs and Deployments."""
