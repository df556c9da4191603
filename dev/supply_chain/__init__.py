"""What is installed, and how one can tell: locks with hashes, bills of materials, and a wheel that is the same bytes wherever it is built.

`pins` reads constraints.txt and the locks with the standard library alone, because `dev/cluster` runs without our packages.
"""
