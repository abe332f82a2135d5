"""Scenes on the workers of a Dask cluster. The only room that imports Dask."""
