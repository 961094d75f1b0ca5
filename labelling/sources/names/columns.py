"""Titles of columns in lists, compared without case, spaces and signs."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from labelling.sources.names.splits import EITHER, ENGLISH_SPLITS, SPLITS, TRAIN_AND_VAL, WEAK
from labelling.sources.names.words import folded, words
from labelling.sources.reading import Split


@lru_cache(maxsize=1 << 12)
def plain(name: str) -> str:
    """``name`` in lower case, letters and digits only, without accents."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    kept = "".join(char for char in decomposed if char.isalnum())
    return unicodedata.normalize("NFC", kept)


def _plain_words(words: str) -> frozenset[str]:
    return frozenset(map(plain, words.split()))


FILE_COLUMNS = _plain_words(
    """
    file filename filenames files filepath fname image images img imagename imgname imagepath
    imgpath imagefile imagefilename imagefilepath imageid imgid imageindex idcode path fullpath
    relativepath relpath photo photopath photoid picture picturename pic url imageurl imguri uri
    imageuri s3key isicid datei dateiname bild bildname bilddatei fichier nomfichier archivo imagen
    immagine arquivo imagem plik obraz foto afbeelding bestand файл изображение 文件 文件名 图片 图像
    画像 ファイル ファイル名 파일 파일명 이미지 dosya dosyaadı resim görsel soubor súbor obrázek obrázok
    fil bilde billede tiedosto kuva fájl kép fișier datoteka slika файл зображення αρχείο εικόνα
    """
)
"""Titles of columns that always name images."""

WEAK_FILE_COLUMNS = _plain_words("id name key uuid guid externalid assetid itemid sampleid")
"""Titles of columns that name images if their cells do."""

LABEL_COLUMNS = _plain_words(
    """
    label labels class classes classname classlabel labelname labelnames category categories
    categoryname diagnosis dx species breed target targets tag tags truth groundtruth gt
    annotation annotations classification finding findings findinglabels disease condition grade
    commonname vernacularname labelid classid categoryid targetid classindex labelindex speciesname expression emotion
    klasse kategorie etikett etiketten diagnose tierart pflanzenart classe classes categorie
    etiquette etiquettes espece etiqueta etiquetas clase categoria especie rotulo klasa etykieta
    gatunek soort klass kategori класс метка категория 标签 类别 分类 ラベル クラス 라벨 클래스
    sınıf sınıfı etiket kategori třída trieda kategória osztály címke luokka kategorija razred oznaka
    клас категорія мітка κλάση κατηγορία ετικέτα kelas lớp nhãn 類別 標籤 種類 種別 분류
    """
)

LEVEL_COLUMNS = _plain_words(
    "genus family order phylum kingdom superclass supercategory supertype superlabel parent "
    "parentclass coarselabel finelabel coarse fine subclass subcategory sublabel subtype level1 "
    "level2 gattung familie genre famille genero familia"
)
"""Columns with another level of the classes."""

PLURAL_COLUMNS = _plain_words(
    "labels labelnames classes categories targets tags annotations findings findinglabels "
    "etiketten etiquettes etiquetas"
)
"""Titles of columns with several labels in a cell."""

WEAK_LABEL_COLUMNS = _plain_words("y type kind result art")
"""Titles of columns of labels, if no other column is named like labels."""

SPLIT_COLUMNS = _plain_words(
    "split subset set partition fold usage phase dataset datasplit traintest stage splits"
)

CAPTION_COLUMNS = _plain_words(
    "text texts caption captions prompt prompts description descriptions sentence comment comments "
    "question answer title raw"
)
"""Columns with sentences about images, which are not labels."""

COUNTER_COLUMNS = frozenset(["", "index", "idx", "nr", "no", "unnamed0", "row", "rownumber"])

COUNT_COLUMNS = _plain_words(
    "n total totals sum count counts numlabels nlabels labelcount nclasses numclasses summe gesamt "
    "anzahl somme suma totale totaal soma итого 合计 合計"
)
"""Columns that count the classes of an image, if they do."""

_NAME_OF = frozenset({"name", "value", "text", "title"})
"""Fields of an object that name it: ``label.name``, ``answer.class.value``."""


def names_of_columns(header: Sequence[str]) -> list[str]:
    """The normalised titles. A field of an object (``result.label``) has the name of its last part,
    if that is a word for labels and no complete title is one."""
    whole = [plain(title) for title in header]
    if LABEL_COLUMNS.intersection(whole):
        return whole
    return [_word_for_labels(title) or name for title, name in zip(header, whole, strict=True)]


def _word_for_labels(title: str) -> str | None:
    parts = [*map(plain, title.split("."))]
    if len(parts) > 2 and parts[-1] in _NAME_OF:
        parts.pop()
    return parts[-1] if len(parts) > 1 and parts[-1] in LABEL_COLUMNS else None


def is_split_in_english(word: str) -> bool:
    """Whether a word is train, val or test, or a short form of them."""
    return plain(word) in ENGLISH_SPLITS


_OF_LISTS = _plain_words("list lists file files filename filenames image images id ids name names")


def split_of(word: str) -> Split | None:
    """The split that ``word`` means, in any of the supported languages."""
    if found := ENGLISH_SPLITS.get(plain(word)):
        return found
    other = folded(word)
    return None if other in EITHER or other in WEAK else SPLITS.get(other)


def split_of_list(stem: str) -> Split | None:
    """The split that the name of a list means: ``test``, ``image_ids_val``, ``TrainImages``,
    ``testlist01``."""
    return split_of(_without_fillers(stem))


def is_train_and_val(stem: str) -> bool:
    """Whether the name of a list means training and validation data together (``trainval``)."""
    return _without_fillers(stem) in TRAIN_AND_VAL


def _without_fillers(stem: str) -> str:
    return "".join(word for word in map(_without_list, words(stem)) if word not in _OF_LISTS)


def _without_list(word: str) -> str:
    """``word`` without a word for lists at its end (``testlist``)."""
    for filler in _OF_LISTS:
        if word.endswith(filler) and (
            split_of(rest := word[: -len(filler)]) or rest in TRAIN_AND_VAL
        ):
            return rest
    return word
