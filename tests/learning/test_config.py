from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from geolulc.errors import ParameterError
from geolulc.learning import TrainConfig
from geolulc.learning.config import parse_setting, read_config, write_config
from geolulc.learning.networks import net_config
from geolulc.nets import NetConfig


def test_every_setting_survives_toml(tmp_path) -> None:
    config = TrainConfig(
        fusion="late", mixup=0.4, d4=False, pretrained='a "folder"/ü.safetensors', seed=7
    )
    write_config(config, tmp_path / "config.toml")
    assert TrainConfig.from_mapping(read_config(tmp_path / "config.toml")) == config
    assert list(tomllib.loads(config.as_toml())) == list(config.as_mapping())


@pytest.mark.parametrize(
    ("wrong", "near"), [("learnin_rate", "learning_rate"), ("mix_up", "mixup"), ("epoch", "epochs")]
)
def test_an_unknown_key_names_the_nearest(tmp_path, wrong, near) -> None:
    with pytest.raises(ParameterError, match=rf"setting '{wrong}'.*no such setting.*{near}"):
        TrainConfig.from_mapping({wrong: 1})
    with pytest.raises(ParameterError, match=near):
        parse_setting(f"{wrong}=1")
    file = tmp_path / "my.toml"
    file.write_text(f"{wrong} = 1\n")
    with pytest.raises(ParameterError, match=rf"my\.toml.*{wrong}.*{near}"):
        read_config(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mixup=0.2", ("mixup", 0.2)),
        ("d4 = false", ("d4", False)),
        ("backbone=efficientnet_b0", ("backbone", "efficientnet_b0")),
        ('backbone="resnet50"', ("backbone", "resnet50")),
        ("epochs=3", ("epochs", 3)),
    ],
)
def test_settings_from_the_command_line(text, expected) -> None:
    assert parse_setting(text) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs: found 0; expected a number from 1"),
        ({"epochs": 2.5}, "epochs: found 2.5; expected a whole number"),
        ({"epochs": True}, "epochs: found True"),
        ({"learning_rate": "fast"}, "learning_rate: found 'fast'; expected a number"),
        ({"learning_rate": float("nan")}, "learning_rate: found nan"),
        ({"loss": "mse"}, "loss: found 'mse'; expected one of bce, focal, asl"),
        ({"d4": 1}, "d4: found 1; expected true or false"),
        ({"batch_size": 10, "accumulate": 3}, "accumulate: found 3 parts of a batch of 10"),
    ],
)
def test_a_wrong_value_is_refused(values, message) -> None:
    with pytest.raises(ParameterError, match=message):
        TrainConfig.from_mapping(values)


def test_a_file_that_is_not_there_or_not_toml(tmp_path) -> None:
    with pytest.raises(ParameterError, match=r"none\.toml: found No such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs: 3\n")
    with pytest.raises(ParameterError, match=r"bad\.toml: found .*expected TOML"):
        read_config(tmp_path / "bad.toml")
    with pytest.raises(ParameterError, match="no equals sign"):
        parse_setting("epochs")


def test_the_network_has_the_same_settings_and_defaults() -> None:
    assert net_config(TrainConfig()) == NetConfig()
    for field in fields(NetConfig):
        assert getattr(TrainConfig(), field.name) == field.default
    choices = {name: get_args(kind) for name, kind in get_type_hints(NetConfig).items()}
    # Dynamic World's network has none of these beside it
    for fusion in set(choices["fusion"]) - {"dynamicworld"}:
        for attention in choices["attention"]:
            for correlation in choices["label_correlation"]:
                TrainConfig(fusion=fusion, attention=attention, label_correlation=correlation)
    for upsampling in choices["upsampling"]:
        for trunk in choices["trunk"]:
            for reflectance in choices["reflectance"]:
                TrainConfig(upsampling=upsampling, trunk=trunk, reflectance=reflectance)
    TrainConfig(task="pixel", fusion="dynamicworld", backbone="dynamicworld")


def test_what_toml_can_hold_at_the_worst(tmp_path) -> None:
    for text in ("epochs = " + "1" * 5000, "epochs = " + "[" * 100_000, 'epochs = "\\q"'):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(ParameterError, match=r"bad\.toml: found .*expected TOML"):
            read_config(tmp_path / "bad.toml")
    for value in ([1], {"a": 1}, 10**400, tomllib.loads("a = 2020-01-01")["a"]):
        for name in ("epochs", "learning_rate", "d4", "loss", "backbone"):
            with pytest.raises(ParameterError, match=f"{name}: found "):
                TrainConfig.from_mapping({name: value})


def test_integers_are_taken_for_numbers() -> None:
    assert TrainConfig(learning_rate=1).learning_rate == 1.0
    assert isinstance(TrainConfig(learning_rate=1).learning_rate, float)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "examples").glob("*.toml")))
def test_examples_are_valid(path) -> None:
    TrainConfig.from_mapping(read_config(path))


@pytest.mark.parametrize("name", ["few_labels.toml", "taught_again.toml"])
def test_recipes_for_few_labels_are_the_page_s(name: str) -> None:
    repository = Path(__file__).parents[2]
    page = (repository / "docs" / "own-labels.md").read_text(encoding="utf-8")
    after = page.split(f"ave this as `{name}`")[1]
    block = after.split("\n    task")[1].split("\n\n")[0]
    shown = tomllib.loads("\n".join(f"task{block}".split("\n    ")))
    assert shown == read_config(repository / "examples" / name)
    assert TrainConfig.from_mapping(shown).crop == 36
