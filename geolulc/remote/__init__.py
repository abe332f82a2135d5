"""Servers: one bounded client of HTTP, and the products of the Copernicus Data Space."""
