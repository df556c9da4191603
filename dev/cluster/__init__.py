"""A real Kubernetes made of plain processes, for development and tests: no container, no virtual machine, no root needed.

Control-plane mode runs etcd, kube-apiserver and kube-controller-manager on loopback. Objects are stored, admitted, garbage
collected and reconciled by the real programs; no pod runs, because there is no kubelet.

    binaries        builds the programs from pinned Go modules, once per machine
    go_toolchain    finds Go, or brings it
    certificates    the cluster's authority, its certificates and kubeconfigs
    processes       starts, records and ends the programs
    control_plane   puts them together: `ControlPlane`
    api_client      raw JSON requests to the API server
"""
