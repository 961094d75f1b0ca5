"""The encoding of a list: told by its bytes, or asked with what each answer would give."""

import random

import pytest

from labelling.sources.lists.list_format import ListRefusedError
from labelling.sources.lists.text.encoding import decode_list
from tests.unit.labelling.sources.lists_of_tests import ListedSource, labels

pytestmark = pytest.mark.unit

WORDS = {
    "cp1252": [
        ["Bär", "Käfer", "Gänse", "Löwe", "Möhre", "Kürbis", "Größe", "Nüsse", "Öl", "grün"],
        ["chèvre", "forêt", "âne", "zèbre", "mûr", "rayé", "pâtes", "fenêtre", "légume", "abîmé"],
        ["niño", "señal", "araña", "león", "pájaro", "limón", "plátano", "camión", "árbol", "piña"],
        ["maçã", "pão", "feijão", "limão", "avião", "caminhão", "coração", "pássaro", "irmão"],
        ["smørbrød", "øl", "får", "grønn", "rød", "blå", "gås", "björn", "älg", "fjäll"],
    ],
    "cp1250": [
        ["żółw", "gęś", "łoś", "koń", "małpa", "ćma", "słoń", "królik", "wąż", "świnia"],
        ["kočka", "kůň", "želva", "kráva", "myš", "ježek", "žirafa", "čáp", "liška", "medvěd"],
        ["őz", "róka", "ló", "bárány", "mókus", "sün", "zsiráf", "elefánt", "tűz", "fű"],
    ],
    "cp1251": [["кошка", "собака", "медведь", "лошадь", "корова", "кот", "пёс", "брак", "годен"]],
    "cp1253": [["γάτα", "σκύλος", "άλογο", "αρκούδα", "λύκος"]],
    "cp1254": [["köpek", "kuş", "balık", "tavşan", "sığır", "çiçek", "ağaç", "üzüm", "eşek"]],
    "gbk": [["狗", "金毛犬", "汽车", "苹果", "良品", "次品", "正常", "异常", "划痕", "玫瑰", "老虎"]],
    "big5": [["貓", "狗", "汽車", "蘋果", "正常", "異常", "玫瑰", "老虎", "獅子", "缺陷", "香蕉"]],
    "shift_jis": [["猫", "犬", "ねこ", "イヌ", "自動車", "良品", "不良品", "キズ", "正常", "異常"]],
    "euc_jp": [["犬", "ねこ", "イヌ", "自動車", "不良品", "りんご", "バナナ", "正常", "異常"]],
    "euc_kr": [["고양이", "개", "자동차", "정상", "불량", "사과", "바나나", "호랑이", "사자", "장미"]],
    "mac-roman": [["Bär", "Käfer", "Löwe", "Größe", "café", "grün", "forêt"]],
    "cp437": [["Bär", "Käfer", "Löwe", "Größe", "café", "grün"]],
}  # fmt: skip


def table(words: list[str]) -> str:
    return "file,label\n" + "".join(f"{at}.jpg,{word}\n" for at, word in enumerate(words * 2))


def cases():
    dice = random.Random(12)
    for encoding, lists in WORDS.items():
        for words in lists:
            for count in (1, 2, 4, 8):
                yield encoding, dice.sample(words, min(count, len(words)))


@pytest.mark.parametrize(("encoding", "words"), list(cases()))
def test_labels_in_an_8_bit_encoding_are_read_right_or_asked_about(encoding, words):
    text = table(words)
    read = decode_list("l.csv", text.encode(encoding))
    if read.doubt:
        assert any(word in shown for _, shown in read.doubt.answers for word in words)
        options = [option.removeprefix("--encoding ") for option, _ in read.doubt.answers]
        decoded = [decode_list("l.csv", text.encode(encoding), option).text for option in options]
        assert text in decoded
    else:
        assert read.text == text
        assert "not UTF-8; read as" in read.warning


def test_german_and_long_lists_are_read_without_a_question():
    for encoding, lists in WORDS.items():
        if encoding not in ("cp1252", "cp1250", "cp1251", "gbk", "shift_jis", "big5", "euc_kr"):
            continue
        for words in lists:
            assert decode_list("l.csv", table(words).encode(encoding)).doubt is None, words
    read = decode_list("l.csv", table(["Bär", "Käfer"]).encode("cp1252"))
    assert read.warning.startswith("not UTF-8; read as cp1252 (Bär, Käfer)")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii"]
)
def test_unicode_needs_no_question(encoding):
    text = table(["cat", "Käfer", "猫"]) if encoding != "ascii" else table(["cat"])
    read = decode_list("l.csv", text.encode(encoding))
    assert (read.text, read.warning, read.doubt) == (text, None, None)


def test_the_encoding_that_is_told_is_taken():
    data = table(["кошка"]).encode("koi8-r")
    assert decode_list("l.csv", data, "koi8-r").text == table(["кошка"])
    assert labels(data, "0.jpg", "1.jpg", encoding="koi8-r") == dict.fromkeys(
        ("0.jpg", "1.jpg"), "кошка"
    )


@pytest.mark.parametrize(
    ("data", "encoding", "words"),
    [
        (b"a.jpg,cat\nb.jpg,k\xe4fer\n", "utf-8", r"l\.csv:2 is not utf-8 \(byte 17"),
        (b"a.jpg,cat\n", "klingon", r"--encoding klingon: no encoding of this name"),
        (b"a.jpg,cat\n", "hex", r"--encoding hex"),
        (b"a.jp\x00g,cat\n\x01", None, r"null bytes"),
        ("ä\nBär\nbjörn\n".encode() + b"\xff", None, r"UTF-8 in some lines .*not in others"),
        ("ä,Bär\nbjörn\n".encode() + b"K\xe4fer\n", None, r"UTF-8 in some lines .*not in others"),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_the_place(data, encoding, words):
    with pytest.raises(ListRefusedError, match=words):
        decode_list("l.csv", data, encoding)


def test_a_question_about_the_encoding_stops_a_list():
    reading = ListedSource({"l.csv": table(["Chèvre", "Âne"]).encode("cp1252")}).read("l.csv")
    assert reading.statements == ()
    assert "--encoding cp1252" in dict(reading.doubts[0].answers)


def test_a_long_list_is_recognised_by_a_part_and_read_whole():
    rows = [f"{at}.jpg,{('Bär', 'Käfer', 'cat')[at % 3]}" for at in range(50_000)]
    text = "file,label\n" + "\n".join(rows)
    read = decode_list("l.csv", text.encode("cp1252"))
    assert read.text == text
