"""Object storage: the door to a bucket, which trainer and server share. The client, obstore, is loaded when a bucket is opened."""
