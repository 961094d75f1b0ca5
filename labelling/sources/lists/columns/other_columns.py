"""Columns of tables with other information about an image than its labels."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from labelling.sources.doubt import Doubt
from labelling.sources.names.columns import LABEL_COLUMNS, plain


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_OTHER = _set_of(
    """
    score scores size bytes filesize width height resolution dimension dimensions pixels
    channels bits depth dpi orientation rotation aspect format mime mimetype extension ext
    codec date time datetime timestamp created modified updated uploaded added captured taken
    year month day hour exif camera device lens iso aperture exposure shutter focal make model
    sensor scanner license licence copyright rights credit attribution author creator owner
    photographer artist uploader user username email annotator annotators labeler labeller
    reviewer reviewed worker workerid source origin provider website url link href path dir
    directory folder bucket storage rating stars votes views likes quality priority weight
    verified checked valid approved flagged done status state md5 sha sha1 sha256 hash
    checksum crc etag version uuid guid split fold subset partition latitude longitude lat lon
    lng gps altitude location coordinates city country datum uhrzeit zeit jahr größe breite
    höhe auflösung kamera gerät lizenz urheber fotograf autor quelle herkunft ordner pfad
    bewertung qualität geprüft heure année taille largeur hauteur appareil auteur photographe
    qualité dossier vérifié fecha hora año tamaño ancho alto cámara camara licencia fuente
    fotógrafo calidad carpeta data ora anno larghezza altezza fotocamera licenza autore fonte
    qualità breedte hoogte grootte licentie bron fotograaf дата время размер ширина высота
    камера лицензия автор источник 日期 时间 大小 宽度 高度 相机 许可 作者 来源 日付 時間 サイズ 幅 高さ カメラ 날짜 시간 크기 너비
    높이 카메라
    """
)
"""Words in titles of columns that do not hold labels."""

_ANSWERS = _set_of(
    """
    pred preds predict predicted prediction predictions prob probs proba
    probability probabilities confidence conf certainty logit logits softmax inference guess
    vorhersage vorhersagen prédiction prédictions predicción predicciones predizione
    predizioni предсказание 预测 予測 예측
    """
)
"""Words in titles of columns with a model's predictions."""

_ANSWERS_OF_FILES = (_ANSWERS - {"conf"}) | {"answer", "answers", "sub", "subm", "submit"}
"""Words in the names of lists. Columns named ``answer`` may be a reviewer's: see ``review``."""

_OF_SPLITS = _set_of("split splits partition partitions fold folds subset subsets")
"""Words in names of lists that assign splits, often by number."""

_CAMEL = re.compile(r"(?<=[^\W\dA-Z_])(?=[A-Z])")
_APART = re.compile(r"[\W\d_]+")

_DATE = re.compile(
    r"(\d{4}[-/.:]\d{1,2}([-/.:]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|(19|20)\d{6}"
    r"|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}|[A-Za-z]{3,9} \d{1,2},? \d{4})"
    r"([T_ ]+\d{1,2}:?\d{2}.*)?Z?$"
)
_TIME = re.compile(r"(\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?|1\d{9}([.,]\d+|\d{3})?)$")
_SIZE = re.compile(r"(\d+([.,]\d+)?\s?([KMG]i?B|bytes?|px|[MK]P)|\d{2,5}\s?[x×*]\s?\d{2,5})$", re.I)
_CHECKSUM = re.compile(r"(?=.*\d)([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})$", re.I)
_PLACE = re.compile(r"(https?|s3|gs|file)://|[^@\s]+@[^@\s]+\.\w+$")

_FORMAT = re.compile(
    r"((image|video|audio|application|text)/[\w.+-]+|\.?(jpe?g|png|gif|webp|avif|tiff?|bmp|hei[cf]))$",
    re.I,
)
"""Media types and file suffixes: the format of an image."""

_AMOUNT = re.compile(
    r"([€$£¥]\s?\d+([.,]\d+)*|\d+([.,]\d+)*\s?(%|‰|€|\$|£|¥|EUR|USD|°C?|[kmµ]?g|[kmcµ]?m|ms|s|min|h))$"
)
_FORMS = (
    (_AMOUNT, "amounts"),
    (_DATE, "dates"),
    (_TIME, "times"),
    (_SIZE, "sizes"),
    (_CHECKSUM, "checksums"),
    (_PLACE, "addresses"),
)


@lru_cache(maxsize=1 << 12)
def _words(name: str) -> frozenset[str]:
    apart = _APART.split(_CAMEL.sub(" ", name).casefold())
    return frozenset(filter(None, (*apart, plain(name), name.casefold())))


def is_called_otherwise(title: str) -> bool:
    """Whether a column is named like one that does not hold labels."""
    words = _words(title)
    return bool(words & _OTHER) and not words & LABEL_COLUMNS


def is_called_split(name: str) -> bool:
    """Whether a list is named like one that assigns splits: ``list_eval_partition.txt``."""
    base = name.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    return bool(_words(base) & _OF_SPLITS)


def is_called_label(title: str) -> bool:
    """Whether a title contains a word for labels: ``label_fixed``."""
    return bool(_words(title) & LABEL_COLUMNS)


def is_called_answer(title: str) -> bool:
    """Whether a column is named like a model's predictions."""
    return bool(_words(title) & _ANSWERS)


def holds_otherwise(values: Sequence[str]) -> str | None:
    """What a column holds, if it is amounts, dates, sizes, checksums or addresses; else
    ``None``."""
    filled = {value for value in values if value}
    return next(
        (what for form, what in _FORMS if filled and all(map(form.match, filled))),
        None,
    )


def is_of_files(values: Sequence[str]) -> bool:
    """Whether a column holds checksums or formats of files."""
    filled = {value for value in values if value}
    formats = bool(filled) and all(map(_FORMAT.match, filled))
    return formats or holds_otherwise(values) == "checksums"


def asked_as_answers(name: str, titles: Collection[str] = ()) -> Doubt | None:
    """The question whether a list holds a model's predictions rather than labels.

    Args:
        name: of the list.
        titles: of its columns.
    """
    base = name.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    columns = [title for title in titles if is_called_answer(title)]
    if not columns and not _words(base) & _ANSWERS_OF_FILES:
        return None
    word = "column" if len(columns) == 1 else "columns"
    reason = f"its {word} {', '.join(columns[:3])}" if columns else "its name"
    return Doubt(
        f"{name} looks like predictions of a model or a submission to a competition ({reason}), "
        "not like labels given by people. What are they?",
        (
            (f"--labels-from {name}", "they are true labels"),
            ("--labels-from none", "no labels"),
        ),
    )
