"""What the texts of the STAC extensions demand, field by field, as JSON schemas.

pystac ships the schemas of STAC's core, not those of the extensions, which it fetches. So that
tests need no network, these are written after the specifications (field tables and rules of
projection 2.0, raster 2.0, classification 2.0, processing 1.2, file 2.1 and MLM 1.4). Like the
originals they refuse unknown fields of their own prefix. pystac validates with them under the
extensions' identifiers.
"""

from __future__ import annotations

from typing import Any

from pystac.validation import JsonSchemaSTACValidator

TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
NUMBERS = {"type": "array", "items": NUMBER}
EXPRESSION = {
    "type": ["object", "null"],
    "required": ["format", "expression"],
    "properties": {"format": TEXT},
}
CLASSES = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {
        "type": "object",
        "required": ["value", "name"],
        "additionalProperties": False,
        "properties": {
            "value": {"type": "integer"},
            "name": {"type": "string", "pattern": "^[0-9A-Za-z-_]+$"},
            "title": TEXT,
            "description": TEXT,
            "color_hint": {"type": "string", "pattern": "^[0-9A-Fa-f]{6}$"},
            "nodata": {"type": "boolean"},
            "percentage": NUMBER,
            "count": COUNT,
        },
    },
}
DATA_TYPE = {"enum": ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]}
TASKS = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {
        "enum": ["regression", "classification", "scene-classification", "semantic-segmentation"]
    },
}


def tensor() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["shape", "dim_order", "data_type"],
        "additionalProperties": False,
        "properties": {
            "shape": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "integer", "minimum": -1, "not": {"const": 0}},
            },
            "dim_order": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^[a-z-_]+$"},
            },
            "data_type": DATA_TYPE,
        },
    }


SCALING = {
    "type": "object",
    "oneOf": [
        {
            "required": ["mean", "stddev"],
            "properties": {"type": {"const": "z-score"}, "mean": NUMBER, "stddev": NUMBER},
        },
        {
            "required": ["minimum", "maximum"],
            "properties": {"type": {"const": "min-max"}, "minimum": NUMBER, "maximum": NUMBER},
        },
    ],
}

FIELDS: dict[str, dict[str, Any]] = {
    "projection/v2.0.0": {
        "proj:code": {"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9A-Za-z]+$"},
        "proj:wkt2": {"type": ["string", "null"]},
        "proj:bbox": {**NUMBERS, "minItems": 4, "maxItems": 4},
        "proj:shape": {"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2},
        "proj:transform": {**NUMBERS, "minItems": 6, "maxItems": 6},
    },
    "raster/v2.0.0": {
        "raster:sampling": {"enum": ["area", "point"]},
        "raster:bits_per_sample": COUNT,
        "raster:spatial_resolution": {**NUMBER, "exclusiveMinimum": 0},
        "raster:scale": NUMBER,
        "raster:offset": NUMBER,
    },
    "classification/v2.0.0": {"classification:classes": CLASSES},
    "processing/v1.2.0": {
        "processing:expression": EXPRESSION,
        "processing:lineage": TEXT,
        "processing:level": TEXT,
        "processing:facility": TEXT,
        "processing:version": TEXT,
        "processing:software": {"type": "object", "additionalProperties": TEXT},
    },
    "file/v2.1.0": {
        "file:byte_order": {"enum": ["big-endian", "little-endian"]},
        "file:checksum": {"type": "string", "pattern": "^[a-f0-9]+$"},
        "file:header_size": COUNT,
        "file:size": COUNT,
        "file:local_path": TEXT,
    },
    "mlm/v1.4.0": {
        "mlm:name": {"type": "string", "pattern": "^[a-zA-Z][a-zA-Z0-9_.-]+[a-zA-Z0-9]$"},
        "mlm:architecture": TEXT,
        "mlm:tasks": TASKS,
        "mlm:framework": TEXT,
        "mlm:total_parameters": COUNT,
        "mlm:accelerator": {"enum": ["amd64", "cuda", "macos-arm", None]},
        "mlm:artifact_type": TEXT,
        "mlm:input": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "bands", "input"],
                "additionalProperties": False,
                "properties": {
                    "name": TEXT,
                    "description": TEXT,
                    "bands": {"type": "array", "items": TEXT, "uniqueItems": True},
                    "input": tensor(),
                    "value_scaling": {"type": ["array", "null"], "minItems": 1, "items": SCALING},
                    "resize_type": {"type": ["string", "null"]},
                    "pre_processing_function": EXPRESSION,
                },
            },
        },
        "mlm:output": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "tasks", "result"],
                "additionalProperties": False,
                "properties": {
                    "name": TEXT,
                    "description": TEXT,
                    "tasks": TASKS,
                    "result": tensor(),
                    "classification:classes": CLASSES,
                    "post_processing_function": EXPRESSION,
                },
            },
        },
        "mlm:hyperparameters": {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {"^[0-9a-zA-Z_.-]+$": True},
            "additionalProperties": False,
        },
    },
}


def schema(name: str) -> dict[str, Any]:
    """The schema of an extension: its fields in properties, assets and bands, no others."""
    prefix = next(iter(FIELDS[name])).split(":")[0]
    fields = {
        "type": "object",
        "properties": FIELDS[name],
        "patternProperties": {f"^(?!{prefix}:)": True},
        "additionalProperties": False,
    }
    bands = {"type": "object", "properties": {"bands": {"type": "array", "items": fields}}}
    properties: dict[str, Any] = fields
    item: dict[str, Any] = {"type": "object", "required": ["stac_extensions", "properties"]}
    if prefix == "mlm":
        required = ["mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"]
        named = {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["name"]}}
        # the inputs' bands are described among the properties (STAC 1.1)
        properties = {
            "allOf": [fields, {"required": [*required, "bands"], "properties": {"bands": named}}]
        }
    assets: dict[str, Any] = {"additionalProperties": {"allOf": [fields, bands]}}
    if prefix == "mlm":
        # an asset is the model exactly if it says what kind of artifact it is; there is one
        role = {
            "required": ["roles"],
            "properties": {"roles": {"contains": {"const": "mlm:model"}}},
        }
        kind = {"required": ["mlm:artifact_type"]}
        assets["minProperties"] = 1
        assets["additionalProperties"]["allOf"].append(
            {"if": role, "then": kind, "else": {"not": kind}}
        )
        assets["not"] = {"additionalProperties": {"not": role}}
        forbidden = ["mlm:name", "mlm:input", "mlm:output", "mlm:hyperparameters"]
        assets["additionalProperties"]["allOf"].append(
            {"not": {"anyOf": [{"required": [name]} for name in forbidden]}}
        )
    item["properties"] = {
        "properties": properties,
        "assets": {"type": "object", **assets},
        "stac_extensions": {"type": "array", "contains": {"const": identifier(name)}},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": identifier(name) + "#",
        **item,
    }


def identifier(name: str) -> str:
    return f"https://stac-extensions.github.io/{name}/schema.json"


def offline_validator() -> JsonSchemaSTACValidator:
    """pystac's validator with the core's schemas and the ones above; nothing is fetched."""
    validator = JsonSchemaSTACValidator()
    for name in FIELDS:
        validator.schema_cache[identifier(name)] = schema(name)
    return validator
