"""Bits per letter and language, to detect the encoding of short names.

The names in an archive are a few words. Characters that no language uses come from a wrong
encoding: box-drawing characters, rare hanzi, the halves of an umlaut. The numbers are rough (-log2
of a letter's share in ordinary text, rounded to half a bit); they need to tell plausible from
absurd, not one language from a similar one.
"""

from collections.abc import Callable
from functools import cache

ASCII_BITS = 5.0
ABSURD_BITS = 20.0
RARE_BITS = 18.0

_HANZI = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政"
    "美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员"
    "解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件"
    "计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象"
    "完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笔左右黑红"
    "绿蓝黄灰紫橙棕粉青银花草树木叶果菜瓜米麦豆茶肉鱼鸟虫猫狗犬牛羊猪鸡鸭鹅马兔鼠虎狮熊象猴鹿狼狐蛇龟蛙蜂"
    "蝶蚁虾蟹贝鲸鲨豹鹰鸽燕雀乌鸦孔苹梨桃李杏柿枣葡萄橘柑柠檬香蕉草莓西红番茄土豆萝卜白葱蒜椒菇玉房屋楼桥"
    "街车轿卡货客船飞火轮摩托自站灯牌杯瓶碗盘筷刀叉勺桌椅床柜沙窗墙衣服裤裙鞋帽包袋表钟镜伞球纸箱盒铁钢铜"
    "铝塑料玻璃布皮垃圾回收湿干有害其余他正常异缺陷划痕裂纹污渍脏破损坏良优合格不好未已无云雨雪风雷雾晴阴星"
    "阳河湖江岸滩林森田野沟岩石泥城村镇乡省县医病人脸男孩老幼童手足脚眼睛鼻耳嘴头发训练测试验证集数据图片照"
    "像标签类别其它样本文件夹新建压缩甲乙丙丁零六七八九百千"
)
_HANZI_TRADITIONAL = (
    "這個們來為國說時會對發後裡種經麼學現當沒動還進樣實長機關點業將兩間問應戰頭體見產話給門兒東聲員論處義"
    "幾條氣題爾變總電數報結務場計資許統區隊決馬書則聽卻達強難權設記類據邊張該規萬覺術領確傳師觀讓識帶導爭"
    "運筆紅綠藍黃銀樹葉魚鳥蟲貓豬雞鴨鵝獅龜蝦貝鯨鷹鴿烏鴉蘋檸蔥蘿蔔樓橋車轎貨飛輪燈盤櫃牆褲鐘鏡傘紙鐵鋼鋁"
    "圾濕乾異劃紋髒損壞優雲風霧晴陰陽溝鎮鄉縣醫臉腳訓練測試驗證圖樣檔夾壓縮檢"
)
_HANGUL = (
    "이다에의는로하을가고지서한은기으년대사시를리도인스일자어그라아정제부과수해나성보장전상구주원여만들동조세"
    "공관비화경신유국위면중선연문생행용소장학반안모회무개오적분마계치우방식실등미내발물트출당재결예진교권강각"
    "영산민야체호저통표거합양입명단설남북금최현포차니드프터르레크러바르파타운불여김박석절까지건력습니까노토하"
    "드음추업말집속간의더점심임할본런론복열판필급임외래려역초질후추길군피복누두머매목먹몸법벌별병볼봄새색생설섬"
    "손술승씨악약얼옷옥왕외욕월육은잎작잔잡점족종줄즈책천철청촌축층카컵코콩쿠큰키탁탕택테텔톤투팀팔패페편평풀"
    "품하학함항향허험형혼황회획효흑흰힘개고양강아토끼소말돼닭오리새물곰호랑사자원숭뱀거북나비벌꽃풀빨노초파검"
    "흰버스택배옷모신발가방컵병유리플라스틱캔종이쓰레기정상불량앞뒤위아래왼쪽른"
)

_WESTERN = {
    **dict.fromkeys("éäöüçàèñáíóúêßãå", 6.0),
    **dict.fromkeys("âîôûùïëœøæìòõ", 7.0),
    **dict.fromkeys("ÄÖÜÉÅØÇÀÁÍÓÚÑÈÊÆ", 8.5),
    **dict.fromkeys("ÂÎÔÛÃÕŒýÿðþÝÐÞÒÙÌÏË", 10.0),
    **dict.fromkeys("ºª°²³’", 13.0),
    **dict.fromkeys("¿¡«»–—“”„‚‘…®©™·´`", 16.0),
}
_CENTRAL = {
    **dict.fromkeys("ąćęłńóśżčěšřžýáíéůúőűöüäşţăâî", 6.0),
    **dict.fromkeys("źďťňôľĺŕđëçßșț", 7.0),
    **dict.fromkeys("ĄĆĘŁŃÓŚŹŻČĚŠŘŽÝÁÍÉŮÚŐŰÖÜĎŤŇĐŞŢĂÄ", 9.0),
}
_TURKISH = {
    **dict.fromkeys("ışğçöü", 5.5),
    **dict.fromkeys("İŞĞÇÖÜâîû", 8.5),
}
_CYRILLIC = {
    **dict.fromkeys("оеаинтсрвлкмдпу", 4.0),
    **dict.fromkeys("яыьгзбчйхжшюцщэфёіїєґў", 6.5),
    **dict.fromkeys("ъјљњћђџ", 9.0),
    **dict.fromkeys("АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЭЮЯЁІЇЄЙ", 6.5),
    **dict.fromkeys("ЩЪЫЬ№Ґ", 11.0),
}
_GREEK = {
    **dict.fromkeys("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώ", 5.0),
    **dict.fromkeys("ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΆΈΉΊΌΎΏϊϋ", 7.0),
}
_HEBREW = dict.fromkeys("אבגדהוזחטיךכלםמןנסעףפץצקרשת", 4.5)
_ARABIC = dict.fromkeys("ابتثجحخدذرزسشصضطظعغفقكلمنهويةىأإآءئؤپچژکگی", 5.0)
_THAI = {chr(code): 5.5 for code in (*range(0x0E01, 0x0E3B), *range(0x0E40, 0x0E4D))}
_KANA = {
    **{chr(code): 6.5 for code in range(0x3041, 0x3094)},
    **{chr(code): 7.0 for code in range(0x30A1, 0x30F7)},
    **dict.fromkeys("ー々", 7.5),
    **dict.fromkeys("、。・「」（）【】", 12.0),
    **{chr(code): 9.5 for code in range(0xFF66, 0xFFA0)},
}


@cache
def letters(language: str) -> dict[str, float]:
    """The bits of each letter of a language; other letters are rare or absurd."""
    return _LANGUAGES[language]()


def _simplified() -> dict[str, float]:
    rare = _plane(range(0xD8, 0xF8), "gb2312", 17.0)
    return rare | _plane(range(0xB0, 0xD8), "gb2312", 13.0) | dict.fromkeys(_HANZI, 9.5)


def _traditional() -> dict[str, float]:
    rare = _plane(range(0xC9, 0xFA), "big5", 17.0)
    frequent = dict.fromkeys(_HANZI + _HANZI_TRADITIONAL, 9.5)
    common = _plane(range(0xA4, 0xC7), "big5", 13.0)
    return rare | common | {char: bits for char, bits in frequent.items() if char in common}


def _japanese() -> dict[str, float]:
    common = _plane(range(0xB0, 0xD0), "euc_jp", 12.0)
    frequent = dict.fromkeys(_HANZI + _HANZI_TRADITIONAL, 10.5)
    kanji = {char: bits for char, bits in frequent.items() if char in common}
    return _plane(range(0xD0, 0xF5), "euc_jp", 17.0) | common | kanji | _KANA


def _korean() -> dict[str, float]:
    return _plane(range(0xB0, 0xC9), "euc_kr", 13.5) | dict.fromkeys(_HANGUL, 8.5)


def _plane(lead: range, codec: str, bits: float) -> dict[str, float]:
    """The characters of a part of a double-byte encoding."""
    found = {}
    for first in lead:
        for second in range(0x40, 0xFF):
            try:
                found[bytes((first, second)).decode(codec)] = bits
            except UnicodeDecodeError:
                continue
    return {char: bits for char, bits in found.items() if len(char) == 1}


_LANGUAGES: dict[str, Callable[[], dict[str, float]]] = {
    "western": lambda: _WESTERN,
    "central": lambda: _CENTRAL,
    "turkish": lambda: _TURKISH,
    "cyrillic": lambda: _CYRILLIC,
    "greek": lambda: _GREEK,
    "hebrew": lambda: _HEBREW,
    "arabic": lambda: _ARABIC,
    "thai": lambda: _THAI,
    "chinese": _simplified,
    "chinese_traditional": _traditional,
    "japanese": _japanese,
    "korean": _korean,
}
