"""Settings as a page may show them to anybody: no folder of the machine that ran the study."""

import re
from pathlib import PurePath
from typing import Any

_ABSOLUTE = re.compile(r"((?:\w+:(?://)?)?)(/(?!/).*)", re.DOTALL)  # behind a scheme, as in imagefolder:/data/photos


def portable(value: Any) -> Any:
    """The value, absolute paths in it without their folders; URLs and relative paths are what they were.

    >>> portable({"data": "imagefolder:/home/me/photos", "storage": "s3://bucket/weights", "space": "spaces/own.yaml"})
    {'data': 'imagefolder:photos', 'storage': 's3://bucket/weights', 'space': 'spaces/own.yaml'}
    >>> portable("timm:/home/me/b.json,/home/me/b.safetensors")
    'timm:b.json,b.safetensors'
    """
    match value:
        case str():
            return ",".join(
                _ABSOLUTE.sub(_named, part) if _ABSOLUTE.fullmatch(part) else part for part in value.split(",")
            )
        case dict():
            return {key: portable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [portable(inner) for inner in value]
    return value


def _named(found: re.Match[str]) -> str:
    return found[1] + PurePath(found[2]).name
