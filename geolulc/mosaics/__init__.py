"""Maps of many tiles and dates → one map."""
