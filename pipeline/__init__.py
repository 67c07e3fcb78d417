"""When and where stages run: recipe -> plan -> Dask, and the command line."""
