"""Titles of box columns, by language: where an object begins and ends, and its size."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from labelling.sources.names.columns import plain
from labelling.sources.names.words import words

Side = Literal["left", "top", "right", "bottom", "width", "height"]
_SIDES: tuple[Side, ...] = ("left", "top", "right", "bottom", "width", "height")

# Language: left; top; right; bottom; width; height.
_BY_LANGUAGE = {
    "English": ("left", "top, upper", "right", "bottom, lower", "width", "height"),
    "Afrikaans": ("links", "bo", "regs", "onder", "breedte, wydte", "hoogte"),
    "Albanian": ("majtas, majte", "siper, lart", "djathtas", "poshte", "gjeresia, gjeresi", "lartesia, lartesi"),
    "Arabic": ("يسار, اليسار", "أعلى, اعلى", "يمين, اليمين", "أسفل, اسفل", "عرض, العرض", "ارتفاع, الارتفاع"),
    "Basque": ("ezkerra, ezkerrean", "goia, goian", "eskuina, eskuinean", "behea, behean", "zabalera", "altuera"),
    "Bengali": ("বাম", "উপর", "ডান", "নিচ", "প্রস্থ", "উচ্চতা"),
    "Bulgarian": ("ляво", "горе", "дясно", "долу", "ширина", "височина"),
    "Catalan": ("esquerra", "dalt", "dreta", "baix", "amplada, ample", "alçada, alt"),
    "Chinese": ("左, 左边, 左邊", "上, 上边, 顶, 頂", "右, 右边, 右邊", "下, 下边, 底", "宽, 宽度, 寬, 寬度", "高, 高度"),
    "Croatian, Bosnian, Serbian, Slovene": ("lijevo, levo, лево", "gore, zgoraj, горе", "desno, десно", "dolje, dole, spodaj, доле", "širina, ширина", "visina, višina, висина"),
    "Czech, Slovak": ("vlevo, vľavo, levý", "nahoře, hore, horní", "vpravo, pravý", "dole, dolní", "šířka, šírka", "výška"),
    "Danish, Norwegian": ("venstre", "top, topp, øverst, øvre", "højre, høyre", "bund, bunn, nederst", "bredde", "højde, høyde"),
    "Dutch": ("links", "boven", "rechts", "onder, beneden", "breedte", "hoogte"),
    "Estonian": ("vasak, vasakul", "ülemine, ülal", "parem, paremal", "alumine, all", "laius", "kõrgus"),
    "Filipino": ("kaliwa", "itaas", "kanan", "ibaba", "lapad", "taas"),
    "Finnish": ("vasen, vasemmalla", "ylä, yläreuna, ylhäällä", "oikea, oikealla", "ala, alareuna, alhaalla", "leveys", "korkeus"),
    "French": ("gauche", "haut", "droite, droit", "bas", "largeur", "hauteur"),
    "Georgian, Armenian": ("მარცხენა, ձախ", "ზედა, վերև", "მარჯვენა, աջ", "ქვედა, ներքև", "სიგანე, լայնություն", "სიმაღლე, բարձրություն"),
    "German": ("links", "oben", "rechts", "unten", "breite", "höhe, hoehe"),
    "Greek": ("αριστερά", "πάνω, επάνω", "δεξιά", "κάτω", "πλάτος", "ύψος"),
    "Hebrew": ("שמאל", "למעלה, עליון", "ימין", "למטה, תחתון", "רוחב", "גובה"),
    "Hindi, Marathi, Nepali": ("बाएं, बायाँ, डावा", "ऊपर, शीर्ष, वर", "दाएं, दायाँ, उजवा", "नीचे, खाली", "चौड़ाई, रुंदी", "ऊंचाई, उंची"),
    "Hungarian": ("bal", "felső, fent, teteje", "jobb", "alsó, lent, alja", "szélesség", "magasság"),
    "Icelandic": ("vinstri", "efst, uppi", "hægri", "neðst, niðri", "breidd", "hæð"),
    "Indonesian, Malay": ("kiri", "atas", "kanan", "bawah", "lebar", "tinggi"),
    "Italian": ("sinistra", "alto, sopra", "destra", "basso, sotto", "larghezza", "altezza"),
    "Japanese": ("左, 左端", "上, 上端", "右, 右端", "下, 下端", "幅", "高さ"),
    "Korean": ("왼쪽, 좌", "위, 위쪽, 상단, 상", "오른쪽, 우", "아래, 아래쪽, 하단, 하", "너비, 폭", "높이"),
    "Latvian, Lithuanian": ("kreisais, kreisi, kairė", "augša, augšā, viršus", "labais, labi, dešinė", "apakša, apačia", "platums, plotis", "augstums, aukštis"),
    "Persian": ("چپ", "بالا", "راست", "پایین", "عرض", "ارتفاع"),
    "Polish": ("lewo, lewa, lewy", "góra, górna", "prawo, prawa, prawy", "dół, dolna", "szerokość", "wysokość"),
    "Portuguese": ("esquerda", "topo, cima, superior", "direita", "baixo, fundo, inferior", "largura", "altura"),
    "Romanian": ("stânga", "sus", "dreapta", "jos", "lățime", "înălțime"),
    "Russian": ("лево, слева, левый", "верх, сверху, верхний", "право, справа, правый", "низ, снизу, нижний", "ширина", "высота"),
    "Spanish": ("izquierda, izq", "arriba, superior", "derecha, der", "abajo, inferior", "ancho, anchura", "alto, altura"),
    "Swahili": ("kushoto", "juu", "kulia", "chini", "upana", "urefu"),
    "Swedish": ("vänster", "topp, överst, övre", "höger", "botten, nederst, nedre", "bredd", "höjd"),
    "Tamil, Telugu, Kannada, Malayalam": ("இடது, ఎడమ, ಎಡ, ഇടത്", "மேல், పైన, ಮೇಲೆ, മുകളിൽ", "வலது, కుడి, ಬಲ, വലത്", "கீழ், క్రింద, ಕೆಳಗೆ, താഴെ", "அகலம், వెడల్పు, ಅಗಲ, വീതി", "உயரம், ఎత్తు, ಎತ್ತರ, ഉയരം"),
    "Thai": ("ซ้าย", "บน", "ขวา", "ล่าง", "กว้าง, ความกว้าง", "สูง, ความสูง"),
    "Turkish, Azerbaijani": ("sol", "üst, yukarı", "sağ", "alt, aşağı", "genişlik, en", "yükseklik, boy, hündürlük"),
    "Ukrainian, Belarusian": ("ліво, зліва, лівий", "верх, зверху, верхній", "право, справа, правий", "низ, знизу, нижній", "ширина", "висота"),
    "Urdu": ("بائیں", "اوپر", "دائیں", "نیچے", "چوڑائی", "اونچائی"),
    "Vietnamese": ("trái", "trên", "phải", "dưới", "rộng, chiều rộng", "cao, chiều cao"),
}  # fmt: skip
_LETTERS: Mapping[Side, str] = {
    "left": "x x0 x1 xmin minx cx xc xcenter centerx xleft leftx startx xstart",
    "top": "y y0 y1 ymin miny cy yc ycenter centery ytop topy starty ystart",
    "right": "x2 xmax maxx xright rightx endx xend",
    "bottom": "y2 ymax maxy ybottom bottomy endy yend",
    "width": "w dx",
    "height": "h dy",
}
_LITTLE = frozenset("box bbox bb rect rectangle roi region px pixel pixels kante rand edge".split())  # noqa: SIM905 - a table


def _tables() -> Iterator[dict[str, Side]]:
    """The words of each language separately, since a table is in one language."""
    for row in _BY_LANGUAGE.values():
        yield {
            "".join(words(word)): side
            for side, texts in zip(_SIDES, row, strict=True)
            for word in texts.split(",")
        }


_TABLES = tuple(_tables())
_BY_LETTER: Mapping[str, Side] = {
    letters: side for side, texts in _LETTERS.items() for letters in texts.split()
}


def sides_of(titles: Sequence[str]) -> dict[int, Side]:
    """The columns named like the sides or the size of a box, by number."""
    joined = [_without_little(title) for title in titles]
    found = [
        {at: side for at, name in enumerate(joined) if (side := table.get(name))}
        for table in _TABLES
    ]
    by_letter = {
        at: side
        for at, title in enumerate(titles)
        if (side := _BY_LETTER.get(_without_prefix(plain(title))))
    }
    most: dict[int, Side] = max(found, key=len)
    return {**most, **by_letter}


def are_of_a_box(sides: Mapping[int, Side]) -> bool:
    """Whether columns give the beginning of a box, and its end or size."""
    named = set(sides.values())
    ends = ({"right", "bottom"}, {"width", "height"})
    return {"left", "top"} <= named and any(end <= named for end in ends)


def _without_little(title: str) -> str:
    return "".join(word for word in words(title) if word not in _LITTLE)


def _without_prefix(name: str) -> str:
    for prefix in ("bbox", "box", "bb", "rect", "roi", "region"):
        name = name.removeprefix(prefix)
    return name
