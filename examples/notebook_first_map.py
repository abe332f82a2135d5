# %% [markdown]
# # Map a scene in Python
#
# A notebook: Jupyter opens it with [jupytext](https://jupytext.readthedocs.io), and
# `python examples/notebook_first_map.py` runs it as it is. The scene is made by a script; for a
# real one, put the path of its `.SAFE` into `path`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from make_scene import make_demo_scene

import geolulc

folder = Path("notebook-map")
folder.mkdir(exist_ok=True)
path = next(folder.glob("*.SAFE"), None) or make_demo_scene(folder, size=7200)

# %% [markdown]
# ## Probabilities
#
# A cell of 600 m says how probable each class is in the 1.2 km around it. The result is an array
# with names and coordinates (xarray): classes, rows, columns.

# %%
scene = geolulc.open_scene(path)
probabilities = geolulc.predict_scene(scene, stride=600)
print(probabilities.sizes)
print(probabilities.rio.crs)

# %% [markdown]
# Which classes are there? Clouds are left out where the product knows of them.

# %%
clear = probabilities.where(probabilities.clear > 0.9)
means = clear.mean(["y", "x"])
for name in means.sortby(means, ascending=False)["class"].values[:5]:
    print(f"{means.sel({'class': name}).item():.2f}  {name}")

# %% [markdown]
# ## A picture, and a file for QGIS

# %%
forest = probabilities.sel({"class": "Broad-leaved forest"})
forest.plot(vmin=0, vmax=1, cmap="Greens")
plt.savefig(folder / "forest.png")
forest.rio.to_raster(folder / "forest.tif")

# %% [markdown]
# ## Present, or not
#
# A class counts as present where its probability reaches the model's threshold for it, which was
# chosen on patches that the model did not learn from.

# %%
present = probabilities >= probabilities.threshold
print("classes in a cell, on average:", np.round(present.sum("class").mean().item(), 1))
