"""Maps as values: header, blocks and figures. Arrays only: no files, no networks."""
