"""The manifests of a FineTuneJob's children. Pure."""
