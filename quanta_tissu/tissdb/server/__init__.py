"""TissDB over HTTP: the extra `server`."""
