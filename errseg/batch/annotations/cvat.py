"""CVAT's "CVAT for images 1.1": ``cvat.xml``, with polygons. CVAT finds a picture of a task by its name."""

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from errseg.colors import colors_of

from .polygons import polygons_of
from .segments import Head, Labelled, Target, opened

__all__ = ["write_cvat"]

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_cvat(target: Target, head: Head, pictures: Iterable[Labelled]) -> None:
    """Write ``cvat.xml``; its labels have the colours of the overlays."""
    numbers = {place: number for number, place in enumerate(head.files)}
    with opened(target.out / "cvat.xml") as file:
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta><task><labels>\n'
        )
        for name, color in zip(head.names, colors_of(head.names), strict=True):
            shown = "#{:02x}{:02x}{:02x}".format(*color)
            file.write(f"    <label><name>{escape(_clean(name))}</name><color>{shown}</color></label>\n")
        file.write("  </labels></task></meta>\n")
        for picture in pictures:
            height, width = head.sizes[picture.place]
            name = quoteattr(_clean(head.files[picture.place]))
            file.write(f'  <image id="{numbers[picture.place]}" name={name} width="{width}" height="{height}">\n')
            for segment in picture.segments:
                label = quoteattr(_clean(segment.name))
                for polygon in polygons_of(picture.labels == segment.id):
                    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in polygon)
                    rest = f'source="auto" occluded="0" points="{points}" z_order="0"'
                    file.write(f"    <polygon label={label} {rest}></polygon>\n")
            file.write("  </image>\n")
        file.write("</annotations>\n")


def _clean(text: str) -> str:
    """A text without the characters that XML cannot hold."""
    return NOT_XML.sub("�", text)
