"""Polygons that users bring: read from files of many formats, and placed on the ground of a map."""
