"""A cluster on one machine: objects are files, pods are processes, the operator is the operator's own code."""
