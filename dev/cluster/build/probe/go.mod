module devcluster/probe

go 1.26
