"""The non-ASCII letters of languages, by the encodings in which texts are saved.

A list is usually in one language. A decoding whose letters do not belong to one language is wrong:
``chèvre, forêt`` in Windows-1252 is ``chčvre, foręt`` in Windows-1250.
"""

from collections.abc import Iterable

_WEST = (
    "äöüß",  # German
    "àâæçéèêëîïôœùûüÿ",  # French
    "áéíñóúü¿¡ªº",  # Spanish
    "ãáàâçéêíóôõúüªº",  # Portuguese
    "àèéìíîòóùú",  # Italian
    "àçèéíïòóúü·",  # Catalan
    "åäöæøéèêóòâôü",  # Swedish, Danish, Norwegian, Finnish
    "áéëïóöüèêàç",  # Dutch
    "áðéíóúýþæö",  # Icelandic
)
_CENTRAL = (
    "ąćęłńóśźż",  # Polish
    "áčďéěíňóřšťúůýž",  # Czech
    "áäčďéíľĺňóôŕšťúýž",  # Slovak
    "áéíóöőúüű",  # Hungarian
    "ăâîșțşţ",  # Romanian
    "čćđšž",  # Croatian, Slovene
    "äöüß",  # German
)
_BALTIC = ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž")
_TURKISH = ("çğıöşüâîû",)
_CYRILLIC = (
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",  # Russian, Bulgarian
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя'’",  # Ukrainian
    "абвгдђежзијклљмнњопрстћуфхцчџш",  # Serbian
    "абвгдеёжзійклмнопрстуўфхцчшыьэюя",  # Belarusian
)
_GREEK = ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",)

_BY_ENCODING: dict[str, tuple[frozenset[str], ...]] = {
    encoding: tuple(map(frozenset, alphabets))
    for encodings, alphabets in (
        (("cp1252", "iso8859-15", "mac-roman", "cp437", "cp850"), _WEST),
        (("cp1250", "iso8859-2", "cp852"), _CENTRAL),
        (("cp1257",), _BALTIC),
        (("cp1254",), _TURKISH),
        (("cp1251", "koi8-r", "cp866"), _CYRILLIC),
        (("cp1253",), _GREEK),
    )
    for encoding in encodings
}


def letters_of_no_language(words: Iterable[str], encoding: str) -> int:
    """The number of letters in ``words`` that the best matching language does not have.

    Args:
        words: words with non-ASCII letters.
        encoding: the encoding they were decoded with; it determines the languages.

    Returns:
        The number of letters, counting repetitions; 0 for encodings of other scripts.
    """
    alphabets = _BY_ENCODING.get(encoding, ())
    text = [
        char for word in words for char in word.casefold() if not char.isascii() and char.isalpha()
    ]
    return min((sum(char not in alphabet for char in text) for alphabet in alphabets), default=0)
