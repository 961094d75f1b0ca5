"""Names of series, backups and albums: when, where or how pictures were taken, seldom their
content."""

import re
from collections.abc import Collection

from labelling.sources.names.dates import is_dated
from labelling.sources.names.words import words

_ORDER = {
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "last"),
    *("first", "second", "third", "fourth", "fifth", "i", "ii", "iii", "iv", "v", "vi", "vii"),
    *("north", "south", "east", "west", "left", "right", "front", "rear", "back", "top", "bottom"),
    *("alpha", "beta", "gamma", "delta", "nord", "sud", "ost", "eins", "zwei", "drei", "links"),
    *("rechts", "un", "deux", "trois", "uno", "dos", "tres", "due", "tre", "um", "dois"),
}
_OTHER_SERIES = {
    *("serie", "charge", "lauf", "tag", "woche", "monat", "kamera", "gruppe", "teil", "paket"),
    *("jour", "semaine", "mois", "groupe", "partie", "lote", "dia", "semana", "mes", "grupo"),
    *("parte", "giorno", "settimana", "mese", "gruppo", "lotto", "zone", "area", "block", "visit"),
    *("quarter", "quartal", "trimestre", "q", "wk", "standort", "anlage", "linie", "disk", "disc"),
    *("volume", "vol", "drive", "roll", "film", "page", "row", "bed", "field", "farm", "plant"),
    *(
        "well",
        "slide",
        "fov",
        "tile",
        "patch",
        "frame",
        "shot",
        "take",
        "track",
        "channel",
        "stack",
    ),
    *("hospital", "clinic", "center", "centre", "factory", "annotator", "phase", "wave", "stage"),
}
"""Words for series that are not ``numbered`` names by themselves."""

_CALENDAR_BY_LANGUAGE = (
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri "
    "sat sun january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec",
    "montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag januar jänner februar "
    "märz mai juni juli oktober dezember mo di mi do fr sa so okt dez",
    "lundi mardi mercredi jeudi vendredi samedi dimanche janvier février mars avril juin juillet "
    "août septembre octobre novembre décembre",
    "lunes martes miércoles jueves viernes sábado domingo enero febrero marzo abril mayo junio "
    "julio agosto septiembre setiembre octubre noviembre diciembre",
    "lunedì martedì mercoledì giovedì venerdì sabato domenica gennaio febbraio aprile maggio giugno "
    "luglio settembre ottobre dicembre",
    "segunda terça quarta quinta sexta janeiro fevereiro março maio junho julho setembro outubro "
    "novembro dezembro",
    "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag januari februari maart mei augustus",
    "poniedziałek wtorek środa czwartek piątek sobota niedziela styczeń luty marzec kwiecień maj "
    "czerwiec lipiec sierpień wrzesień październik listopad grudzień",
    "понедельник вторник среда четверг пятница суббота воскресенье январь февраль март апрель май "
    "июнь июль август сентябрь октябрь ноябрь декабрь",
    "pazartesi salı çarşamba perşembe cuma cumartesi pazar ocak şubat mart nisan mayıs haziran "
    "temmuz ağustos eylül ekim kasım aralık",
    "måndag tisdag onsdag torsdag fredag lördag söndag mandag tirsdag lørdag søndag",
    "月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日 星期一 星期二 星期三 星期四 星期五 星期六 "
    "星期日 周一 周二 周三 周四 周五 周六 周日 月 年 年月 一月 二月 三月 四月 五月 六月 七月 "
    "八月 九月 十月 十一月 十二月 월 일 년 월요일 화요일 수요일 목요일 금요일 토요일 일요일",
)
_CALENDAR = {
    word for text in _CALENDAR_BY_LANGUAGE for name in text.split() for word in words(name)
}
_MONTHS = frozenset(word for word in _CALENDAR if len(word) > 2 or not word.isascii())
_SEASONS = {
    *("spring", "summer", "autumn", "fall", "winter", "sommer", "herbst", "fruhling", "q", "h"),
    *("quarter", "quartal", "kw", "week", "wk", "semester", "term"),
}
_BACKUPS = {
    *("backup", "backups", "bak", "export", "exports", "exported", "archive", "archives", "archiv"),
    *("archived", "temp", "tmp", "temporary", "thumbs", "thumbnails", "thumb", "thumbnail"),
    *("sicherung", "sauvegarde", "respaldo", "archivo", "archivio", "previews", "preview", "cache"),
    *("output", "outputs", "cameraroll", "whatsapp", "icloud", "dropbox", "onedrive", "albums"),
    *("savedpictures", "screenrecordings", "selfies", "snapseed", "bursts", "recents"),
    *("lightroom", "darktable", "picasa", "plots", "results", "runs", "checkpoints", "notebooks"),
}
_VAGUE = {
    *("main", "full", "new", "old", "master", "current", "final", "source", "sources"),
    *("src", "base", "default", "primary", "secondary", "public", "private", "local", "remote"),
    *("hires", "lowres", "highres", "web", "misc", "dslr"),
    *("screenshots", "scans", "neu", "alt", "haupt", "media", "assets", "content"),
    *("upload", "incoming", "collected", "collection", "scraped", "google"),
    *("bing", "flickr", "kaggle", "instagram", "internet", "part", "size", "res", "resolution"),
    *(
        "camera",
        "screenshot",
        "edited",
        "restored",
        "favorites",
        "favourites",
        "bluetooth",
        "saved",
    ),
    *("telegram", "snapchat", "messenger", "facebook", "viber", "twitter", "pinterest", "reddit"),
    *("hd", "sd", "lq", "hq", "lr", "hr", "k", "mp", "px", "p", "x"),
}
_SIZE = re.compile(r"^\D{0,12}\d{2,5} ?[x×X*_ ]? ?\d{2,5} ?(px|p)?$|^\d{2,5} ?(px|p)$", re.I)
_SIZE_SIGN = re.compile(r"\d ?[x×X*] ?\d|\d ?(px|p)$", re.I)
_DATE_WITHIN = re.compile(
    r"(?<!\d)(19|20)\d\d([-_. ]?)(0[1-9]|1[0-2])(\2(0[1-9]|[12]\d|3[01])(\d{4}|\d{6})?)?(?!\d)"
)
_OF_A_CAMERA = re.compile(
    r"^(IMG|DSC[NF]?|MVI|GOPR|G[HX]|DJI|VID|PXL|CIMG|SAM|MOV|CLIP|_MG)[-_ ]?\d{3,}\w*$", re.I
)
"""Names of files by cameras, and of folders with the frames of a film."""

_NUMBER = r"[-+]?\d{1,3}[.,]\d{2,}°?"
_PLACES = (
    re.compile(r"^r(ow)?\d+[-_ ]?c(ol)?\d+([-_ ]?f\d+)?$", re.I),
    re.compile(r"^x\d+[-_ ]?y\d+$|^(xy|pos|fov)[-_ ]?\d+$", re.I),
    re.compile(rf"^[NS]?\s?{_NUMBER}[NS]?\s?[,;_ ]\s?[EWO]?\s?{_NUMBER}[EWO]?$", re.I),
    re.compile(r"^\d+([.,]\d+)?°?[NS][,;_ ]+\d+([.,]\d+)?°?[EWO]$", re.I),
    re.compile(r"^[NS]?\s?\d{1,3}\s?°.*\d", re.I),
)
"""Positions on a plate, a stage or the earth: ``R01C02``, ``x3_y4``, ``48.1374,11.5755``."""

_WELL = re.compile(r"^(?P<row>[A-P])(?P<column>0?[1-9]|1\d|2[0-4])$", re.I)
_PLATES = {"plate", "plates", "well", "wells", "mtp", "microplate", "wellplate", "incucyte", "platte", "plaque",
           "placa", "piastra", "plaat", "mikrotiterplatte", "płytka", "plytka", "планшет", "プレート", "孔板", "板"}  # fmt: skip
_WELLS = 8
_YEAR = re.compile(r"(?<!\d)(19|20)\d\d(?!\d)")
_FROM = {
    *("from", "of", "in", "von", "vom", "aus", "de", "du", "del", "dal", "dei", "di", "da", "do"),
    *("uit", "van", "fran", "fra", "z", "за", "от", "года", "из", "год", "vuodelta", "year", "y"),
    *(
        "の",
        "年",
        "年の写真",
        "写真",
        "的照片",
        "年的照片",
        "照片",
        "사진",
        "년",
        "zdjecia",
        "fotografie",
    ),
    *("photographs", "fotografias", "bilder", "immagini", "foton", "kuvat", "фото", "фотографии"),
    *("fotograflar", "fotki", "valokuvat", "fotografii", "images", "fotók", "fotok", "ev", "yili"),
}


_IDENTIFIER = re.compile(
    r"^([0-9a-f]{16,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\{[0-9a-f-]{36}\})$", re.I
)
_PREFIX = re.compile(r"^[0-9a-f]{2,3}$")
_PREFIXES = 8


def is_series(name: str, known: Collection[str]) -> bool:
    """Whether a name belongs to a series: ``batch_a``, ``site-north``, ``Monday``, ``2024-Q1``,
    ``256x256``, ``2024-05 Wedding``, ``DJI_0001``.

    Args:
        name: of the folder.
        known: words for series when they have a number.
    """
    found = words(name)
    has_number = any(char.isdigit() for char in name)
    if _says_when_or_where(name.strip(), found):
        return True
    of_series = [word for word in found if word in known or word in _OTHER_SERIES]
    rest = [word for word in found if word not in of_series]
    if has_number and not rest:
        return len(of_series) == 1
    return bool(of_series) and bool(rest) and all(len(w) == 1 or w in _ORDER for w in rest)


def _says_when_or_where(name: str, found: Collection[str]) -> bool:
    of_calendar = _CALENDAR | _SEASONS if any(map(str.isdigit, name)) else _CALENDAR
    return (
        bool(_DATE_WITHIN.search(name) or _OF_A_CAMERA.match(name))
        or is_dated(name, _MONTHS)
        or any(pattern.match(name) for pattern in _PLACES)
        or bool(_SIZE.match(name) and _SIZE_SIGN.search(name))
        or (bool(found) and of_calendar.issuperset(found))
    )


def is_album(name: str, containers: Collection[str]) -> bool:
    """Whether a name is given by a photo service or a backup: ``Photos from 2023``, ``backup``."""
    found = words(name)
    if not found:
        return False
    dated = bool(_YEAR.search(name)) and all(w in containers or w in _FROM for w in found)
    return (
        dated
        or "".join(found) in _BACKUPS
        or (
            any(word in _BACKUPS for word in found)
            and all(word in _BACKUPS or word in containers or len(word) == 1 for word in found)
        )
    )


def is_photo_service(name: str) -> bool:
    """Whether a folder contains the albums of Google Photos or a phone: ``Google Fotos``,
    ``Takeout``, ``DCIM``."""
    found = words(name)
    return found in (["takeout"], ["dcim"]) or (found[:1] == ["google"] and 1 < len(found) < 4)


def is_identifier(name: str) -> bool:
    """Whether a name is an identifier made by a program: a hash or a UUID."""
    return bool(_IDENTIFIER.match(name)) and not name.isdigit() and any(map(str.isdigit, name))


def are_hash_prefixes(names: Collection[str]) -> bool:
    """Whether names are the first digits of hashes, as in some file stores (``0a``, ``f3``): many
    of one length, some beginning with a letter and some with a digit."""
    return (
        len(names) >= _PREFIXES
        and len({*map(len, names)}) == 1
        and all(map(_PREFIX.match, names))
        and len({name[0].isdigit() for name in names}) > 1  # 1a, 1b, 2a are grades
    )


def are_wells(names: Collection[str], above: str) -> bool:
    """Whether names are the wells of a plate (``A1`` … ``H12``).

    Without a plate above, a few of them may be grades, or shades of teeth: then many wells in many
    rows, or two digits, are required.

    Args:
        names: of folders beside one another.
        above: the path of their parent folder, with the name of the source.
    """
    found = [_WELL.match(name.strip()) for name in names]
    wells = [match for match in found if match]
    rows, columns = ({match[part].upper() for match in wells} for part in ("row", "column"))
    if len(wells) < max(len(names), 2):
        return False
    if not _PLATES.isdisjoint(word for part in above.split("/") for word in words(part)):
        return True
    if len(rows) < 2 or len(columns) < 2 or len(wells) < 4:
        return False
    is_padded = any(column.startswith("0") for column in columns)
    is_large = len(wells) >= _WELLS and (max(rows) > "D" or max(map(int, columns)) > 4)
    return is_padded or (is_large and 2 * len(wells) >= len(rows) * len(columns))


def may_be_container(name: str) -> bool:
    """Whether a name may be that of a mere container of images, if all beside it may be, too:
    ``main``, ``full``."""
    found = words(name)
    is_word = any(len(word) > 1 for word in found)  # 2x4 is none
    return is_word and all(word in _VAGUE or word in _BACKUPS for word in found)
