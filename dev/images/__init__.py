"""Builds the images of the `Dockerfile` on a machine that has no container engine and no registry, and runs them.

    build        the command: `python dev/images/build.py operator`
    targets      the images that can be built, and the key of their content
    base         a stand-in for the Dockerfile's base image, made of Debian packages
    store        buildah, with a storage of its own
    archive      reads the metadata of a finished archive
    container    runs a command in an image as a pod would: uid 1000, read-only root

All files lie under `~/.cache/tuneloop/images` and may be deleted.
"""
