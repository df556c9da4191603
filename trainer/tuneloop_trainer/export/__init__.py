"""The last stage: from trained weights to a published artifact that anyone can load and check."""
