"""A real Kubernetes made of plain processes, for development and tests: no Docker and no virtual machine.

Control-plane mode runs etcd, kube-apiserver and kube-controller-manager on loopback, and needs no root. Objects are stored, admitted,
garbage collected and reconciled by the real programs; no pod runs, because there is no kubelet. Node mode adds a scheduler, containerd,
kubelet, kube-proxy and CoreDNS: pods run. It needs root.

    errors             the errors of this package
    binaries           builds the programs from pinned Go modules, once per machine
    go_toolchain       finds Go, or installs it
    certificates       the cluster's authority, its certificates and kubeconfigs
    processes          starts, records and ends the programs
    api_client         raw JSON requests to the API server
    access             the administrator's access to a running cluster
    control_plane      control-plane mode: `ControlPlane`
    machine            checks that this machine can run a node; mounts and kernel settings
    network, cgroups   the node's bridge, its rules, and the control group of the pods
    container_runtime  containerd: configuration, images, clean-up
    node_agents        kubelet, kube-proxy, CoreDNS: configuration
    images             packs files into an image archive
    development        mounts of this machine's Python code into containers
    volumes            a folder of this machine as a claim
    node               node mode: `NodeCluster`
"""
