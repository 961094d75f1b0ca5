"""Words for yes and no, by language: a reviewed list."""

# Language: yes; no; true; false. They are compared without case, with their accents and without.
_BY_LANGUAGE = {
    "English": ("yes y", "no n", "true t", "false f"),
    "Afrikaans": ("ja", "nee", "waar", "vals onwaar"),
    "Albanian": ("po", "jo", "vërtetë", "rreme"),
    "Arabic": ("نعم", "لا", "صحيح صح", "خطأ خاطئ"),
    "Basque": ("bai", "ez", "egia", "gezurra faltsua"),
    "Bengali": ("হ্যাঁ", "না", "সত্য", "মিথ্যা"),
    "Bulgarian": ("да", "не", "вярно истина", "невярно лъжа"),
    "Catalan": ("sí", "no", "cert veritat", "fals"),
    "Chinese": ("是 有 对 對", "否 不是 无 無 不", "真", "假"),
    "Croatian, Bosnian, Serbian, Slovene": ("da да", "ne не", "točno tačno istina res", "netočno netačno laž neres"),
    "Czech, Slovak": ("ano áno", "ne nie", "pravda", "nepravda"),
    "Danish, Norwegian": ("ja", "nej nei", "sand sant", "falsk usann usant"),
    "Dutch": ("ja", "nee", "waar", "onwaar"),
    "Estonian": ("jah", "ei", "tõene", "väär"),
    "Filipino": ("oo", "hindi", "totoo", "mali"),
    "Finnish": ("kyllä", "ei", "tosi", "epätosi"),
    "French": ("oui", "non", "vrai", "faux"),
    "Georgian, Armenian": ("კი დიახ այո", "არა ոչ", "ჭეშმარიტი ճիշտ", "მცდარი սխալ"),
    "German": ("ja j", "nein", "wahr", "falsch"),
    "Greek": ("ναι", "όχι οχι", "αληθές", "ψευδές"),
    "Hebrew": ("כן", "לא", "נכון", "שגוי"),
    "Hindi, Marathi, Nepali": ("हाँ हां होय", "नहीं नाही", "सही सत्य", "गलत असत्य"),
    "Hungarian": ("igen", "nem", "igaz", "hamis"),
    "Icelandic": ("já", "nei", "satt", "ósatt"),
    "Indonesian, Malay": ("ya", "tidak", "benar", "salah palsu"),
    "Italian": ("sì si", "no", "vero", "falso"),
    "Japanese": ("はい 有 ○ ◯ 〇", "いいえ 無 ×", "真", "偽"),
    "Korean": ("예 네", "아니오 아니요", "참", "거짓"),
    "Latvian, Lithuanian": ("jā taip", "nē ne", "patiess tiesa", "nepatiess netiesa"),
    "Persian": ("بله آری", "خیر نه", "درست", "نادرست غلط"),
    "Polish": ("tak", "nie", "prawda", "fałsz"),
    "Portuguese": ("sim", "não", "verdadeiro", "falso"),
    "Romanian": ("da", "nu", "adevărat", "fals"),
    "Russian": ("да", "нет", "истина верно", "ложь неверно"),
    "Spanish": ("sí si", "no", "verdadero", "falso"),
    "Swahili": ("ndiyo ndio", "hapana", "kweli", "uongo"),
    "Swedish": ("ja", "nej", "sant", "falskt"),
    "Tamil, Telugu, Kannada, Malayalam": ("ஆம் అవును ಹೌದು അതെ", "இல்லை కాదు ಇಲ್ಲ അല്ല", "உண்மை", "தவறு"),
    "Thai": ("ใช่", "ไม่ใช่ ไม่", "จริง", "เท็จ"),
    "Turkish, Azerbaijani": ("evet bəli", "hayır xeyr", "doğru", "yanlış"),
    "Ukrainian, Belarusian": ("так", "ні не", "істина правда", "хибність хиба"),
    "Urdu": ("ہاں جی", "نہیں", "درست", "غلط"),
    "Vietnamese": ("có", "không", "đúng", "sai"),
}  # fmt: skip
_YES_SIGNS = frozenset("1 1.0 1,0 x ✓ ✔ ☑ ✅ √".split())  # noqa: SIM905 - a table
_NO_SIGNS = frozenset("0 0.0 0,0 ✗ ✘ ☐ ❌".split())  # noqa: SIM905 - a table


def _words(*columns: int) -> frozenset[str]:
    return frozenset(
        word.casefold()
        for row in _BY_LANGUAGE.values()
        for at in columns
        for word in row[at].split()
    )


TRUE_OR_FALSE = _words(0, 1, 2, 3)
"""Words that are meaningless as the name of a class."""

YES = _words(0, 2) | _YES_SIGNS

NO = _words(1, 3) | _NO_SIGNS
