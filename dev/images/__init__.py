"""Builds the images of the `Dockerfile` on a machine that has no container engine and no registry, and runs them.

    build        the command: `python dev/images/build.py operator`
    targets      what can be built, and when it must be built again
    base         a stand-in for the Dockerfile's base image, made of Debian packages
    store        buildah, with a storage of its own
    archive      what a finished archive says about its image
    container    runs a command in an image as a pod would: uid 1000, read-only root

Everything lies under `~/.cache/tuneloop/images` and may be deleted there.
"""
