"""A real Kubernetes made of plain processes, for development and tests: no Docker and no virtual machine.

Control-plane mode runs etcd, kube-apiserver and kube-controller-manager on loopback, and needs no root. Objects are stored, admitted,
garbage collected and reconciled by the real programs; no pod runs, because there is no kubelet. Node mode adds a scheduler, containerd,
kubelet, kube-proxy and CoreDNS: pods run. It needs root.

    errors             what this package raises
    binaries           builds the programs from pinned Go modules, once per machine
    go_toolchain       finds Go, or brings it
    certificates       the cluster's authority, its certificates and kubeconfigs
    processes          starts, records and ends the programs
    api_client         raw JSON requests to the API server
    access             a running cluster as its administrator sees it
    control_plane      control-plane mode: `ControlPlane`
    machine            what a node needs of this machine; mounts and kernel settings
    network, cgroups   the node's bridge, its rules, and the control group of the pods
    container_runtime  containerd: configuration, images, what is left at the end
    node_agents        kubelet, kube-proxy, CoreDNS: configuration
    images             packs files into an image archive
    development        where containers look for Python code of this machine
    volumes            a folder of this machine as a claim
    node               node mode: `NodeCluster`
"""
