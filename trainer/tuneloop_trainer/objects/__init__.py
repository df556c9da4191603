"""Object storage: what lies in a bucket becomes files on the claim, by the door of `tuneloop_api.objects`."""
