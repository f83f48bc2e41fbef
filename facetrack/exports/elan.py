"""Write annotation files of ELAN (EAF 3.0)."""

from __future__ import annotations

import mimetypes
import os
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from facetrack.exports.base import Source
from facetrack.exports.tiers import Interval, tiers_of
from facetrack.files import atomic_path

SUFFIX = ".eaf"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_TYPE = "default-lt"


def write(folder: Path, source: Source) -> list[str]:
    """Write `<stem>.eaf`; see `facetrack.exports.base.Write`."""
    ElementTree.register_namespace("xsi", _XSI)
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "facetrack",
            "DATE": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if source.video:
        _add_media(header, source.video)
    order = ElementTree.SubElement(root, "TIME_ORDER")
    tiers = tiers_of(source)
    moments = sorted({t for tier in tiers for i in tier.intervals for t in _milliseconds(i)})
    slots = {moment: f"ts{number}" for number, moment in enumerate(moments, start=1)}
    for moment, slot in slots.items():
        ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(moment))
    number = 0
    for tier in tiers:
        element = ElementTree.SubElement(root, "TIER", LINGUISTIC_TYPE_REF=_TYPE, TIER_ID=tier.name)
        for interval in tier.intervals:
            number += 1
            start, end = _milliseconds(interval)
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(element, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{number}",
                TIME_SLOT_REF1=slots[start],
                TIME_SLOT_REF2=slots[end],
            )
            ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = interval.label
    ElementTree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(number)
    ElementTree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        GRAPHIC_REFERENCES="false",
        LINGUISTIC_TYPE_ID=_TYPE,
        TIME_ALIGNABLE="true",
    )
    ElementTree.indent(root, "    ")
    with atomic_path(folder / f"{source.stem}{SUFFIX}") as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="UTF-8", xml_declaration=True)
    return []


def _add_media(header: ElementTree.Element, video: str) -> None:
    path = Path(os.path.abspath(video))
    ElementTree.SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=path.as_uri(),
        MIME_TYPE=mimetypes.guess_type(path.name)[0] or "unknown",
    )


def _milliseconds(interval: Interval) -> tuple[int, int]:
    """Return start and end in whole milliseconds; every annotation lasts at least one."""
    start = max(0, round(1000 * interval.start))
    return start, max(start + 1, round(1000 * interval.end))
