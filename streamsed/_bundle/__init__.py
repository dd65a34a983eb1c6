"""Model bundles; the public names are in :mod:`streamsed.bundle`."""
