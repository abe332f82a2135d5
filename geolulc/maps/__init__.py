"""Maps as values: header, blocks, and what blocks add up to. Arrays only: no files, no networks."""
