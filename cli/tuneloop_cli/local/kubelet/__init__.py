"""The kubelet of local mode: a pod is a group of processes."""
