"""The HTTPS server for the progress messages of the stages, and who may post them."""
