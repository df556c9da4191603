"""The HTTPS server that takes the stages' progress posts, and who may post."""
