"""Columns of a file of sample points: written by ``sample``, read by ``assess``.

The design stands in columns, so that it outlives every conversion from file to file and every row
that somebody leaves out.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Kind = Literal["stratified", "simple", "systematic", "cluster"]
#: Kinds of designs, the most usual first.
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

#: What people fill in: the class that a place has; a second one that is right too; a remark.
REFERENCE, ALTERNATIVE, REMARK = "reference", "alternative", "remark"
#: Number of the point, and the map's class there, which labellers should not see.
POINT, MAP_CLASS = "point", "map_class"
#: The design: its kind, and the point's stratum and cluster.
DESIGN, STRATUM, CLUSTER = "design", "stratum", "cluster"
#: Pixels and hectares of the stratum, and the probability with which the point was drawn.
UNITS, HECTARES, PROBABILITY = "stratum_units", "stratum_ha", "inclusion_probability"
#: What ``assess`` needs of a stored design.
STORED: Final = (DESIGN, STRATUM, CLUSTER, UNITS, HECTARES, PROBABILITY)
#: Coordinates of files without geometry.
LONGITUDE, LATITUDE = "longitude", "latitude"
#: Prefix of a column for each class, where several can be present.
PRESENT: Final = "is_"
#: Layer of the points in a GeoPackage.
POINTS: Final = "points"
