"""What is published says the same everywhere: versions, requirements, licences, files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

import geolulc

REPOSITORY = Path(geolulc.__file__).resolve().parents[1]
#: Names of conda-forge where they differ.
CONDA = {"torch": "pytorch", "msgpack": "msgpack-python", "dask": "dask-core"}


#: Bytes of a wheel: what people wait for at each installation.
LARGEST = 12e6


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(read("pyproject.toml"))["project"]
    return found


def test_one_version() -> None:
    recipe = yaml.safe_load(read("release/conda/recipe.yaml"))
    metadata = dict(re.findall(r"^(\w+)=(.*)$", read("qgis/geolulc_plugin/metadata.txt"), re.M))
    versions = {
        "citation": yaml.safe_load(read("CITATION.cff"))["version"],
        "zenodo": json.loads(read(".zenodo.json"))["version"],
        "conda": recipe["context"]["version"],
        "plugin": metadata["version"],
        "changelog": re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.M)[0],
    }
    assert set(versions.values()) == {geolulc.__version__}, versions


def test_one_licence_and_one_author(project: dict[str, Any]) -> None:
    citation, zenodo = yaml.safe_load(read("CITATION.cff")), json.loads(read(".zenodo.json"))
    recipe = yaml.safe_load(read("release/conda/recipe.yaml"))
    licences = {citation["license"], zenodo["license"], recipe["about"]["license"]}
    assert licences == {project["license"]}
    authors = {citation["authors"][0]["name"], zenodo["creators"][0]["name"]}
    assert authors == {project["authors"][0]["name"]}


def test_the_recipe_requires_what_the_package_does(project: dict[str, Any]) -> None:
    required = {}
    for text in project["dependencies"]:
        name, version = re.fullmatch(r"([\w-]+)(.*)", text).groups()
        required[CONDA.get(name, name.replace("_", "-"))] = version
    run = yaml.safe_load(read("release/conda/recipe.yaml"))["requirements"]["run"]
    recipe = dict(line.split(" ") for line in run)
    assert recipe.pop("python") == project["requires-python"]
    assert recipe == required


def test_pinned_versions_are_allowed(project: dict[str, Any]) -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pinned = dict(line.split("==") for line in read("release/constraints.txt").splitlines()[1:])
    for text in (*project["dependencies"], *project["optional-dependencies"]["hub"]):
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text


def test_extras_are_explained(project: dict[str, Any]) -> None:
    explained = set(re.findall(r"`(?:geolulc)?\[(\w+)\]`", read("docs/install.md")))
    assert explained == set(project["optional-dependencies"])


def test_the_recipe_renders(project: dict[str, Any]) -> None:
    rattler_build = pytest.importorskip("rattler_build", reason="no py-rattler-build here")
    recipe = rattler_build.Stage0Recipe.from_file(REPOSITORY / "release" / "conda" / "recipe.yaml")
    (rendered,) = recipe.render()
    found = rendered.recipe.to_dict()
    assert found["build"]["noarch"] == "python"
    (source,) = found["source"]
    assert Path(source["path"]).name == f"geolulc-{geolulc.__version__}.tar.gz"
    scripts = [" = ".join(item) for item in project["scripts"].items()]
    assert found["build"]["python"]["entry_points"] == scripts


def build(kind: str, source: Path, into: Path) -> Path:
    """The wheel or sdist of the checkout or unpacked sdist ``source``; nothing is fetched."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="no hatchling here: pip install 'geolulc[release]'")
    return build("sdist", REPOSITORY, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder / "dist")


def in_checkout(*folders: str) -> set[str]:
    """The files of the checkout that git knows."""
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no checkout of git here")
    return {name for name in done.stdout.split("\0") if name and (REPOSITORY / name).exists()}


def test_the_sdist_is_the_checkout(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert in_checkout() <= files
    assert files - in_checkout() <= {"PKG-INFO"}


def test_the_wheel_of_the_sdist_is_whole_and_small(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {re.sub("^models/", "geolulc/shipped_models/", name)
               for name in in_checkout("geolulc", "models")}  # fmt: skip
    assert files == package
    assert wheel.stat().st_size < LARGEST


def test_an_index_takes_the_packages(sdist: Path, wheel: Path) -> None:
    pytest.importorskip("twine", reason="no twine here: pip install 'geolulc[release]'")
    command = [sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_containers_file_is_sound() -> None:
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    hadolint = which("hadolint", path=places) or pytest.skip("no hadolint here")
    done = subprocess.run(
        [hadolint, "--failure-threshold", "info", str(REPOSITORY / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_container_has_no_root_and_copies_what_is_there() -> None:
    text = read("Dockerfile")
    assert re.findall(r"^USER (\S+)$", text, re.M) == ["1000"]
    allowed = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    for sources in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.M):
        for source in sources.split():
            assert source in allowed
            assert (REPOSITORY / source).exists()
