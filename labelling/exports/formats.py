"""The export formats by their names."""

from labelling.exports.coco import CocoFormat
from labelling.exports.contents import ExportFormat
from labelling.exports.folder import FolderFormat
from labelling.exports.huggingface import HuggingFaceFormat
from labelling.exports.label_studio import LabelStudioFormat
from labelling.exports.yolo_classify import YoloClassifyFormat

FORMATS: dict[str, ExportFormat] = {
    form.name: form
    for form in (
        FolderFormat(),
        HuggingFaceFormat(),
        CocoFormat(),
        YoloClassifyFormat(),
        LabelStudioFormat(),
    )
}
