"""The letters that languages write beside a to z, by the encodings in which they are saved.

A list is in one language, as a rule. A reading whose letters no language has together is wrong:
``chèvre, forêt`` of Windows-1252 is ``chčvre, foręt`` in Windows-1250.
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
    """How many letters of ``words`` the language that fits best does not write.

    Args:
        words: words with letters beside a to z.
        encoding: in which they were read; it tells which languages are asked.

    Returns:
        The number of letters, each as often as it occurs; 0 for encodings of other scripts.
    """
    alphabets = _BY_ENCODING.get(encoding, ())
    text = [
        char for word in words for char in word.casefold() if not char.isascii() and char.isalpha()
    ]
    return min((sum(char not in alphabet for char in text) for alphabet in alphabets), default=0)
