"""Detection and segmentation are named as what they are, and never taken for labels."""

import json
from typing import Any

import pytest

from labelling.labels.schema import Task
from labelling.sources.lists.json_lists import JsonLists
from labelling.sources.lists.list_format import ListFile, ListReading, ListRefusedError
from labelling.sources.lists.shapes.detection import DetectionFiles
from labelling.sources.lists.tools.cvat import Cvat
from labelling.sources.reading import ReadingOptions
from tests.carried import around

pytestmark = pytest.mark.unit

VOC = """<?xml version="1.0"?>
<annotation><folder>VOC2007</folder><filename>000001.jpg</filename>
<object><name>dog</name><bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax>
</bndbox></object></annotation>"""

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><id>1</id></task></meta>
<image id="0" name="a.jpg" width="9" height="9"><box label="cat" xtl="1" ytl="1" xbr="2" ybr="2"/>
</image></annotations>"""

LABELME = {
    "version": "5.0.1",
    "flags": {},
    "shapes": [{"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "rectangle"}],
    "imagePath": "a.jpg",
    "imageData": None,
}
VIA = {
    "a.jpg1234": {
        "filename": "a.jpg",
        "size": 1234,
        "regions": [{"shape_attributes": {"name": "rect", "x": 1}, "region_attributes": {}}],
        "file_attributes": {},
    }
}
CREATE_ML = [
    {
        "image": "a.jpg",
        "annotations": [
            {"label": "cat", "coordinates": {"x": 1, "y": 2, "width": 3, "height": 4}},
        ],
    }
]


def read(name: str, content: Any) -> ListReading | None:
    text = content if isinstance(content, str) else json.dumps(content)
    for form in (DetectionFiles(), JsonLists()):
        found = form.read(ListFile(name, text.encode()), ReadingOptions(), around())
        if found is not None:
            return found
    return None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("Annotations/000001.xml", VOC, "Pascal VOC"),
        ("Annotations/000001.xml", f"\ufeff{VOC[22:]}", "Pascal VOC"),
        ("annotations.xml", CVAT, "CVAT"),
        ("labels/a.txt", "0 0.5 0.5 0.25 0.25\n1 0.1 0.2 0.3 0.4\n", "YOLO's boxes"),
        ("labels/a.txt", "0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n", "YOLO's boxes"),
        (
            "_annotations.csv",
            "filename,width,class,xmin,ymin,xmax,ymax\na.jpg,9,cat,1,1,2,2\n",
            "xm",
        ),
        ("b.tsv", "image\tbbox\tlabel\na.jpg\t[1, 2, 3, 4]\tcat\n", "a table of boxes"),
        ("r.csv", "a.jpg,1,2,3,4,cat\nb.jpg,,,,,\n", "a table of boxes"),
        (
            "class-descriptions.csv",
            "ImageID,Source,LabelName,Confidence\n0001eeaf4aed83f9,verification,/m/0cmf2,1\n",
            "Open Images' labels",
        ),
        ("a.json", LABELME, "LabelMe's shapes"),
        ("via.json", VIA, "VGG Image Annotator"),
        ("via.json", {"_via_settings": {}, "_via_img_metadata": VIA}, "VGG Image Annotator"),
        ("a.json", CREATE_ML, "boxes or outlines .in 'coordinates'"),
        (
            "lines.jsonl",
            '{"image": "a.jpg", "objects": {"bbox": [[1, 2, 3, 4]]}}\n{"image": "b.jpg"}\n',
            "boxes or outlines .in 'bbox'",
        ),
    ],
)
def test_it_is_named_as_what_it_is(name: str, content: Any, words: str) -> None:
    with pytest.raises(ListRefusedError, match=words) as caught:
        read(name, content)
    assert str(caught.value).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "cat\ndog\n"),
        ("readme.txt", ""),
        ("labels.txt", "0 cat\n1 dog\n"),
        ("train.txt", "images/a.jpg 0\nimages/b.jpg 1\n"),
        ("numbers.txt", "1 2 3\n4 5 6\n"),
        ("page.xml", "<html><annotation>x</annotation></html>"),
        ("package.json", {"name": "x", "files": ["bbox"], "version": "1.0"}),
        ("places.json", [{"name": "Rome", "coordinates": [1, 2]}]),
        ("measures.csv", "x,y,size\n1,2,3\n"),
    ],
)
def test_what_is_no_such_file_is_left_to_others(name: str, content: Any) -> None:
    assert read(name, content) is None


def tags(text: str, task: Task = "single_label") -> ListReading | None:
    file = ListFile("annotations.xml", text.encode())
    return Cvat().read(file, ReadingOptions(task=task), around())


def test_tags_of_cvat_are_labels_of_whole_images() -> None:
    found = tags(
        """<?xml version="1.0"?><annotations><meta><task/></meta>
        <image id="0" name="x/a.jpg" subset="Train"><tag label="cat" source="manual"></tag></image>
        <image id="1" name="b.jpg" subset="Test"><tag label="dog"/><box label="ear"/></image>
        <image id="2" name="c.jpg"/><image id="3"><tag label="dog"/></image></annotations>"""
    )
    assert found is not None
    assert [(item.file, item.labels, item.split) for item in found.statements] == [
        ("x/a.jpg", ("cat",), "train"),
        ("b.jpg", ("dog",), "test"),
        ("c.jpg", None, None),
    ]
    assert [item.name for item in found.rejections] == ["annotations.xml image 3"]
    assert found.warnings == ["only tags are read; other annotations (box) are left out"]


def test_several_tags_and_broken_xml_of_cvat_are_reported() -> None:
    two = '<annotations><image name="a.jpg"><tag label="cat"/><tag label="dog"/></image>'
    found = tags(f"{two}</annotations>", "multi_label")
    assert found is not None
    assert found.statements[0].labels == ("cat", "dog")
    with pytest.raises(ListRefusedError, match='task = "multi_label"'):
        tags(f"{two}</annotations>")
    with pytest.raises(ListRefusedError, match="broken .*export or copy it again"):
        tags(two)
    with pytest.raises(ListRefusedError, match="broken"):
        tags(f'<?xml version="1.0" encoding="gb2312"?>{two}</annotations>')
    with pytest.raises(ListRefusedError, match="declares entities"):
        tags(f'<!DOCTYPE x [<!ENTITY a "b">]>{two}</annotations>')
    assert tags(CVAT) is None
