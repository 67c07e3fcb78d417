"""A plan is worked off: tasks on a Dask cluster, retries, locks, signals."""
