# %% [markdown]
# # Say what a map is worth, in Python
#
# A notebook: Jupyter opens it with [jupytext](https://jupytext.readthedocs.io), and
# `python examples/notebook_accuracy.py` runs it as it is. It maps a scene, draws a sample of
# points, has them labelled, and estimates accuracy and areas with intervals.

# %%
from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import rasterio
from make_scene import make_demo_scene

from geolulc.accuracy import SampleOptions, assess_map, draw_sample
from geolulc.mapping import MapOptions, map_scenes
from geolulc.nets import load_checkpoint, shipped_model
from geolulc.nomenclature import BEN19
from geolulc.outputs.options import OutputOptions

folder = Path("notebook-accuracy")
folder.mkdir(exist_ok=True)
path = next(folder.glob("*.SAFE"), None) or make_demo_scene(folder, size=7200)

# %% [markdown]
# ## A map

# %%
model = load_checkpoint(shipped_model())
options = MapOptions(stride=300)
map_scenes([path], folder / "map.tif", [model], options, output=OutputOptions(), overwrite=1)
classes = folder / "map_classes.tif"

# %% [markdown]
# ## Points
#
# 80 points, at least 4 in each class of the map. The file keeps how they were drawn.

# %%
options = SampleOptions(size=80, least=4)
files, design = draw_sample(classes, folder / "points.gpkg", options, overwrite=1)
print(f"{design['points']} points in {len(design['strata'])} strata")

# %% [markdown]
# ## Labels
#
# People label points by looking at pictures or going there. The made scene has its truth beside
# it, which plays the people here.

# %%
points = geopandas.read_file(files["points"], layer="points")
names = {c.code: c.name for c in BEN19.classes}
with rasterio.open(next(folder.glob("*_truth.tif"))) as truth:
    places = points.to_crs(truth.crs).geometry
    points["reference"] = [names[int(v[0])] for v in truth.sample([(p.x, p.y) for p in places])]
points.to_file(folder / "labelled.gpkg", layer="points")

# %% [markdown]
# ## Estimates
#
# Every figure comes with its standard error and half of its 95 % interval. Little agrees here: the
# shipped model learned from 50 patches, and a cell of 300 m holds several covers.

# %%
files, found = assess_map(classes, folder / "labelled.gpkg", folder / "accuracy", overwrite=1)
overall = found["overall"]
print(f"overall accuracy {overall['estimate']:.2f} ± {overall['ci95']:.2f}")
areas = {name: a for name, a in found["area_ha"].items() if a["estimate"]}
for name, area in areas.items():
    print(f"{area['estimate']:8,.0f} ± {area['ci95']:6,.0f} ha  {name}")

# %%
plt.barh(
    list(areas),
    [area["estimate"] for area in areas.values()],
    xerr=[area["ci95"] or 0 for area in areas.values()],
)
plt.xlabel("hectares, estimated, with 95 % intervals")
plt.tight_layout()
plt.savefig(folder / "areas.png")
print(files["html"])
