"""Names of folders with unsorted or unlabelled images, by language."""

from collections.abc import Iterator

from labelling.sources.names.splits import DATA
from labelling.sources.names.words import words

_BY_LANGUAGE = {
    "English": (
        "needs annotation, needs annotating, need annotation, no class, no classes, without class, without classes, unclassed, no tags, sort these, label these, to be tagged, to be categorised, to be categorized, unlabelled, unlabeled, unlabled, un labelled, un labeled, unannotated, unsorted, unclassified, uncategorised, "
        "uncategorized, untagged, no label, no labels, nolabel, nolabels, without label, without labels, todo, to do, tbd, "
        "tolabel, tosort, to label, to sort, to classify, to annotate, to tag, to categorise, to categorize, "
        "to be labelled, to be labeled, to be sorted, to be classified, to be annotated, to be done, not labelled, "
        "not labeled, not sorted, not classified, not annotated, needs label, needs labels, needs labelling, "
        "needs labeling, needs sorting, need sorting, need labels, awaiting label, awaiting labels, sort me, label me, "
        "sort later, label later, un sorted, unsortet, unassigned, yet to sort"
    ),
    "Afrikaans": "ongesorteer, nie gesorteer, om te sorteer, sonder etiket",
    "Albanian": "paklasifikuar, te paklasifikuara, parenditur, te parenditura, pa etikete, pa klasifikuar",
    "Arabic": "غير مصنف, غير مصنفة, للتصنيف, بدون تصنيف, بدون تسمية, غير مرتب, غير مرتبة, غير موسومة, بدون علامة, لم تصنف",
    "Basque": "sailkatu gabe, sailkatzeko, ordenatu gabe, etiketarik gabe, etiketatu gabe",
    "Bengali": "অশ্রেণীবদ্ধ, লেবেল ছাড়া, লেবেলহীন, বাছাই করা হয়নি",
    "Bulgarian": "несортиран, несортирани, неразпределени, за сортиране, за разпределяне, без етикет, без етикети, некласифицирани",
    "Catalan": "sense classificar, per classificar, sense etiqueta, sense etiquetar, per etiquetar, per ordenar, sense ordenar, no classificat",
    "Chinese": (
        "未标签, 未分, 没分类, 没有分类, 需要分类, 需要标注, 等待分类, 等待标注, 未分类, 未分類, 待分类, 待分類, 未标注, 未標註, 待标注, 待標註, 未标记, 未標記, 未整理, 待整理, 待处理, 待處理, 无标签, 無標籤, "
        "没有标签, 未归类, 待归类, 还没分类, 未打标, 未加标签"
    ),
    "Croatian, Bosnian, Serbian, Slovene": (
        "nesortiran, nesortirano, nerazvrstan, nerazvrstano, za sortiranje, za razvrstati, bez oznake, "
        "bez oznaka, nerazvrščeno, neklasificirano, za razvrstiti, brez oznake, несортирано, неразврстано, за сортирање, без ознаке"
    ),
    "Czech, Slovak": (
        "bez kategorie, bez kategórie, třídit, k vytřídění, nevytříděné, neroztříděné, neroztříděno, nezařazené, nezařazeno, netříděné, netříděno, neklasifikované, k roztřídění, "
        "k zařazení, k třídění, roztřídit, zařadit, bez štítku, nezaradené, nezatriedené, neroztriedené, na roztriedenie, "
        "na zaradenie, roztriediť, bez označenia"
    ),
    "Danish, Norwegian": (
        "ikke klassificeret, ikke klassifisert, ikke kategoriseret, ikke kategorisert, uten etikett, må sorteres, usorteret, usorterede, usortert, usorterte, ikke sorteret, ikke sortert, at sortere, å sortere, skal sorteres, til sortering, "
        "ukategoriseret, ukategorisert, uklassificeret, uklassifisert, uden etiket, uten etikett"
    ),
    "Dutch": (
        "niet ingedeelde, zonder klasse, zonder categorie, niet geannoteerd, ongesorteerd, niet gesorteerd, te sorteren, uit te zoeken, uitzoeken, sorteren, ongelabeld, niet gelabeld, te labelen, "
        "ongeclassificeerd, niet geclassificeerd, te classificeren, niet ingedeeld, in te delen, zonder label, zonder labels, ongecategoriseerd"
    ),
    "Estonian": "sorteerimata, liigitamata, klassifitseerimata, sortimata, sildistamata",
    "Filipino": "walang label, hindi nakaayos, hindi naka uri, aayusin pa",
    "Finnish": (
        "lajittelematta, luokittelematta, merkitsemättä, lajittelematon, lajittelemattomat, lajiteltava, lajiteltavat, luokittelematon, luokittelemattomat, luokiteltavat, "
        "järjestämätön, järjestämättömät, merkitsemätön, merkitsemättömät, nimeämättömät, ei luokiteltu, ei lajiteltu"
    ),
    "French": (
        "pas classé, pas classés, pas classées, pas étiqueté, pas étiquetées, pas annoté, pas rangé, non rangé, en cours de tri, sans classe, sans catégorie, pas identifiées, à trier, à classer, à classifier, à étiqueter, à annoter, à ranger, à labelliser, non trié, non triés, non triée, non triées, "
        "pas trié, pas triés, pas triées, non classé, non classés, non classées, non classifié, non étiqueté, non étiquetés, non étiquetées, "
        "non annoté, non annotées, non labellisé, sans étiquette, sans étiquettes, sans label, inclassé, inclassés, en vrac, en attente de tri"
    ),
    "Georgian, Armenian": "დაუხარისხებელი, დასახარისხებელი, დაულაგებელი, չտեսակավորված, չդասակարգված, չպիտակավորված",
    "German": (
        "nicht geordnet, ungeordnet, ohne Kategorie, ohne Klassen, nicht annotierte, wird sortiert, nicht bearbeitet, unsortiert, unklassifiziert, unbeschriftet, ungelabelt, unannotiert, unkategorisiert, uneingeordnet, zu sortieren, "
        "zu klassifizieren, zu labeln, zu beschriften, zu annotieren, zu kategorisieren, einzuordnen, zuzuordnen, einzusortieren, "
        "auszusortieren, sortieren, einsortieren, einordnen, zuordnen, nicht sortiert, nicht klassifiziert, nicht gelabelt, "
        "nicht beschriftet, nicht annotiert, nicht zugeordnet, nicht eingeordnet, nicht einsortiert, nicht kategorisiert, nicht gelabelte, "
        "ohne label, ohne labels, ohne beschriftung, ohne klasse, ohne zuordnung, ohne etikett, muss sortiert werden, zum sortieren, "
        "zum labeln, zum einsortieren, zum klassifizieren, zu erledigen, nicht zuordenbar"
    ),
    "Greek": "αταξινόμητα, αταξινόμητο, αταξινόμητες, προς ταξινόμηση, χωρίς ετικέτα, χωρίς ετικέτες, μη ταξινομημένα",
    "Hebrew": "לא ממוין, לא ממוינות, לא ממוינים, למיון, למיין, ללא תווית, ללא תוויות, לא מסווג, לא מסווגות, לסיווג, לא מתויג, לתייג",
    "Hindi, Marathi, Nepali": "अवर्गीकृत, बिना लेबल, बिना लेबल के, वर्गीकृत नहीं, छाँटना है, लेबल नहीं",
    "Hungarian": (
        "rendezésre vár, szortírozni, válogatásra vár, még nincs rendezve, nincs besorolva, rendezetlen, besorolatlan, címkézetlen, osztályozatlan, válogatatlan, szortírozatlan, rendezendő, besorolandó, osztályozandó, "
        "címkézendő, válogatandó, nincs címke, címke nélkül"
    ),
    "Icelandic": "óflokkað, óflokkaðar, óflokkaðir, á eftir að flokka, til flokkunar",
    "Indonesian, Malay": (
        "belum dikelompokkan, belum dipisah, belum dipisahkan, belum ditandai, tanpa kelas, belum diurutkan, belum dilabeli, belum diklasifikasi, belum diklasifikasikan, belum disortir, belum dikategorikan, belum dipilah, "
        "tanpa label, perlu disortir, perlu dilabeli, tidak berlabel, akan disortir, belum diisih, belum dilabel, belum berlabel"
    ),
    "Italian": (
        "non divise, non divisi, non annotate, senza classe, senza categoria, da ordinare, da classificare, da etichettare, da smistare, da catalogare, da sistemare, da annotare, da dividere, da suddividere, "
        "non ordinato, non ordinati, non ordinate, non classificato, non classificati, non classificate, non etichettato, non etichettati, "
        "non etichettate, non catalogati, non catalogate, senza etichetta, senza etichette, non smistate, non smistati"
    ),
    "Japanese": (
        "分類していない, 仕分けしていない, 未仕訳, ラベル付け前, 未ラベリング, 未分類, 未仕分け, 仕分け前, 未整理, 未ラベル, ラベルなし, ラベル無し, ラベル未付与, 要分類, 要仕分け, 分類待ち, 仕分け待ち, 未アノテーション, "
        "未タグ付け, 未処理, 分類前, あとで分類, これから分類"
    ),
    "Korean": "분류되지 않음, 분류되지 않은, 라벨링 전, 라벨링 필요, 라벨링 안됨, 미분류, 분류안됨, 분류 안됨, 분류 전, 분류예정, 분류 예정, 분류필요, 분류 필요, 미정리, 정리안됨, 정리 안됨, 라벨없음, 라벨 없음, 미라벨, 레이블 없음, 미처리",
    "Latvian, Lithuanian": (
        "nešķirots, nešķiroti, nešķirotas, nesakārtots, nesakārtoti, neklasificēts, neklasificēti, jāšķiro, bez etiķetes, "
        "nerūšiuota, nerūšiuoti, nesurūšiuota, nesurūšiuoti, neklasifikuota, neklasifikuoti, surūšiuoti, be etiketės"
    ),
    "Persian": "دسته بندی نشده, طبقه بندی نشده, بدون برچسب, مرتب نشده, برچسب نخورده, برای دسته بندی",
    "Polish": (
        "nie posortowane, nie oznaczone, nie sklasyfikowane, bez kategorii, bez klasy, nieposortowane, nieposortowany, niesortowane, niesklasyfikowane, niesklasyfikowany, nieprzypisane, "
        "nieskategoryzowane, do posortowania, do sortowania, do klasyfikacji, do sklasyfikowania, do oznaczenia, do otagowania, "
        "do przejrzenia i posortowania, posortować, bez etykiety, bez etykiet, bez oznaczenia"
    ),
    "Portuguese": (
        "sem classe, sem categoria, sem anotação, por anotar, não anotadas, por classificar, a classificar, para classificar, sem classificar, sem classificação, não classificado, não classificados, "
        "não classificadas, por organizar, para organizar, a organizar, por ordenar, por rotular, a rotular, para rotular, não rotulado, "
        "não rotulados, não rotuladas, sem rótulo, sem rótulos, sem etiqueta, sem etiquetas, por etiquetar, para separar, não ordenado"
    ),
    "Romanian": "nesortat, nesortate, de sortat, neclasificat, neclasificate, de clasificat, neetichetat, neetichetate, de etichetat, fără etichetă, fără etichete, neordonate",
    "Russian": (
        "несортированное, несортированные, не сортировано, не отсортировано, неотсортированное, неотсортированные, неразобранное, "
        "неразобранные, не разобрано, разобрать, на разбор, рассортировать, отсортировать, сортировать, на сортировку, неразмеченные, "
        "неразмеченное, не размечено, не размечены, разметить, на разметку, без метки, без меток, без разметки, без класса, "
        "неклассифицированные, неклассифицированное, не классифицировано, классифицировать, без категории"
    ),
    "Spanish": (
        "sin clase, sin catalogar, por catalogar, no ordenadas, no ordenados, no anotadas, sin clasificar, por clasificar, para clasificar, a clasificar, pendiente de clasificar, pendientes de clasificar, sin ordenar, "
        "por ordenar, para ordenar, sin etiquetar, por etiquetar, para etiquetar, sin etiqueta, sin etiquetas, sin anotar, por anotar, "
        "no clasificado, no clasificados, no clasificada, no clasificadas, no etiquetado, no etiquetados, no etiquetadas, desordenadas, "
        "sin categoría, sin organizar, por organizar, sin separar, por separar"
    ),
    "Swahili": "haijapangwa, hazijapangwa, bila lebo, haijaainishwa",
    "Swedish": (
        "ej sorterat, inte sorterat, inte sorterad, ej klassificerade, ej märkta, inte märkta, behöver sorteras, osorterad, osorterade, osorterat, att sortera, ska sorteras, sortera, ej sorterad, ej sorterade, inte sorterade, oklassificerad, "
        "oklassificerade, okategoriserade, utan etikett, att märka"
    ),
    "Tamil, Telugu, Kannada, Malayalam": "வகைப்படுத்தப்படாத, வகைப்படுத்தப்படாதவை, వర్గీకరించని, ವರ್ಗೀಕರಿಸದ, തരംതിരിക്കാത്ത",
    "Thai": "ยังไม่จัดประเภท, ยังไม่ได้จัดประเภท, ยังไม่แยก, ยังไม่ได้แยก, ไม่มีป้ายกำกับ, ยังไม่ติดป้าย, รอจัดประเภท, ไม่มีฉลาก, ยังไม่จัดหมวดหมู่",
    "Turkish, Azerbaijani": (
        "sınıflandırılmadı, etiketlenmedi, ayrılmadı, düzenlenecek, sınıflandırılmamış, sınıflandırılacak, sınıflandırılacaklar, etiketsiz, etiketlenmemiş, etiketlenecek, etiketlenecekler, "
        "düzenlenmemiş, ayrılacak, ayrılmamış, sıralanmamış, tasnif edilecek, tasnif edilmemiş, kategorisiz, təsnif olunmamış, çeşidlənməmiş"
    ),
    "Ukrainian, Belarusian": (
        "несортовані, не відсортовано, невідсортовані, нерозібране, нерозібрані, розібрати, розсортувати, на сортування, нерозмічені, "
        "не розмічено, без мітки, без міток, некласифіковані, без категорії, несартаваныя"
    ),
    "Urdu": "غیر درجہ بند, بغیر لیبل, غیر مرتب",
    "Vietnamese": "chưa được phân loại, chưa được gán nhãn, chưa dán, chưa xếp loại, chưa phân loại, cần phân loại, chưa gán nhãn, cần gán nhãn, chưa sắp xếp, không nhãn, không có nhãn, chưa dán nhãn, chờ phân loại",
}  # fmt: skip
_PERHAPS = """nicht klassifizierbar, noch offen, zu sichten, zum sichten, nicht identifiziert, non classable, unclassifiable,
neoznačeno, neoznačene, neoznačené, umærket, umerket, umerkede, märgistamata, omärkta, omärkt, ómerkt, ómerktar, nieoznaczone, nieoznaczony, nepažymėta, немаркирани, ongemerk,
unknown, unknowns, unclear, unsure, uncertain, undecided, undetermined, unidentified, dont know, don t know,
no idea, not sure, ambiguous, maybe, perhaps, questionable, doubtful, review, to review, needs review, to check,
recheck, double check, checken, pending, later, skipped, inbox,
check later, look later, see later, label later, sort later, decide later, do later, fix later, for later, check again,
look again, revisit, second look, second opinion, to be decided, to be determined, to discuss, on hold, needs discussion,
später prüfen, später ansehen, noch ansehen, nochmal ansehen, nochmal prüfen, noch mal prüfen, nachprüfen, wiedervorlage, rückfrage,
plus tard, à revoir plus tard, vérifier plus tard, à discuter, más tarde, revisar después, revisar más tarde, revisar luego, para después,
più tardi, rivedere dopo, da rivedere dopo, controllare dopo, mais tarde, rever depois, ver depois, revisar depois,
later bekijken, nog eens bekijken, sprawdzić później, później, na później, zkontrolovat později, později, проверить позже, посмотреть позже,
на потом, на доработку, sonra bakılacak, sonra kontrol, titta senare, se senere, tarkista myöhemmin, myöhemmin,
稍后, 稍后处理, 稍后查看, 以后再看, 待复查, 复查, 待確認, 後で確認, あとで確認, 再確認, 나중에, 나중에 확인, 재확인, 재검토,
unklar, unklare, unbekannt, unbekannte, unsicher, unbestimmt, nicht erkannt, weiss nicht, weiß nicht, keine ahnung, fraglich,
vielleicht, zu prüfen, noch prüfen, zu klären, klären, später, posteingang, ausstehend, zu überprüfen,
inconnu, inconnus, inconnue, inconnues, incertain, incertains, indéterminé, indéterminés, peut être, à vérifier, à voir, à revoir,
en attente, je ne sais pas, douteux, à identifier, à déterminer, non identifié, non identifiés, non identifiées,
desconocido, desconocidos, desconocida, desconocidas, dudoso, dudosos, dudas, incierto, no sé, quizás, tal vez, por revisar,
revisar, para revisar, sin revisar, por identificar, sin identificar, no identificado, no identificados,
sconosciuto, sconosciuti, sconosciuta, sconosciute, incerto, incerti, non so, forse, da verificare, da controllare, da rivedere,
da vedere, da identificare, non identificati, dubbi, desconhecido, desconhecidos, desconhecida, desconhecidas, incerto, dúvida,
dúvidas, talvez, não sei, a verificar, por verificar, para verificar, para rever, não identificado, não identificados, não identificadas,
onbekend, onbekende, onduidelijk, onzeker, twijfel, misschien, weet niet, nog bekijken, te controleren, nakijken,
nieznane, nieznany, nieznana, niejasne, niepewne, wątpliwe, nie wiem, może, do sprawdzenia, do przejrzenia, do weryfikacji,
neznámé, neznámý, nejasné, nejisté, nevím, možná, ke kontrole, neznáme, neviem, na kontrolu,
неизвестно, неизвестное, неизвестные, неясно, неясные, непонятно, непонятное, непонятные, сомнительно, сомнительные, не знаю,
возможно, на проверку, проверить, под вопросом, невідомо, невідоме, невідомі, незрозуміле, не знаю, перевірити, невядома, неясно,
неизвестни, за проверка, nepoznato, nepoznati, nejasno, ne znam, za provjeru, neznano, непознато, нејасно,
okänd, okända, okänt, oklar, oklara, osäker, osäkra, vet ej, vet inte, kanske, att granska, ukendt, ukendte, uklar, uklart, usikker,
usikre, ved ikke, ukjent, ukjente, vet ikke, kanskje, óþekkt, óljóst, tuntematon, tuntemattomat, epäselvä, epäselvät, epävarma,
epävarmat, en tiedä, ehkä, tarkistettava, tarkistettavat, tundmatu, tundmatud, ebaselge, ebaselged, nezināms, nezināmi, neskaidrs,
neskaidri, nežinoma, nežinomi, neaišku, neaiškūs, ismeretlen, ismeretlenek, bizonytalan, nem tudom, ellenőrizendő, talán,
necunoscut, necunoscute, neclar, neclare, nesigur, nesigure, nu știu, de verificat, άγνωστο, άγνωστα, ασαφές, ασαφή, αβέβαιο,
δεν ξέρω, προς έλεγχο, bilinmeyen, bilinmeyenler, bilinmiyor, belirsiz, emin değilim, belki, kontrol edilecek, naməlum,
i panjohur, panjohur, të panjohura, paqartë, desconegut, desconeguts, dubtós, ezezagun, ezezaguna, ezezagunak, zalantzazkoa,
onbekend, onseker, tidak diketahui, tidak dikenal, tidak jelas, tidak pasti, mungkin, perlu dicek, perlu diperiksa, belum dicek, tak diketahui,
không rõ, chưa rõ, không biết, không xác định, chưa xác định, cần kiểm tra, haijulikani, hazijulikani, sijui, hindi alam, hindi kilala,
غير معروف, غير معروفة, مجهول, غير واضح, غير مؤكد, للمراجعة, لا أعرف, نامشخص, ناشناخته, نامعلوم, مشکوک, نمی دانم, نا معلوم,
לא ידוע, לא ידועים, לא ברור, לא בטוח, לבדיקה, अज्ञात, अस्पष्ट, पता नहीं, अनिश्चित, অজানা, অস্পষ্ট, தெரியாத, தெரியவில்லை, తెలియని,
ಗೊತ್ತಿಲ್ಲದ, അജ്ഞാതം, ไม่ทราบ, ไม่รู้, ไม่แน่ใจ, ไม่ชัดเจน, รอตรวจสอบ, უცნობი, გაურკვეველი, անհայտ, անորոշ,
未知, 不明, 不确定, 不確定, 不清楚, 不知道, 待确认, 待確認, 待定, 待审核, 疑问, 未确认, わからない, 分からない, 不明確, 要確認, 未確認, 保留, あとで,
모름, 불명, 알수없음, 알 수 없음, 미확인, 확인필요, 확인 필요, 불확실, 보류, 애매"""
_BESIDE = """these, those, this, restant, restants, reste, потом, позже, endnu, ennå, enda, ännu, än, 还, 尚, 暂, 仍, まだ, これから, 아직, всё, все,
still, yet, just, please, noch, bitte, alle, alles, encore, tout, ancora, tutto, tutte, tutti, aun, todavia,
todo, ainda, tudo, jeszcze, еще, ще, nog, allemaal, stadig, fortsatt, fortfarande, henuz, meg, viela, inca, sve, jos, all,
new, my, the, for, me, zz, zzz, zzzz, xx, xxx, aa, aaa, und, and, rest, are, is, must, später, spater, jpg, jpeg, png, img, imgs,
photo, photos, pic, pics, picture, pictures, image, file, files, folder, ordner, dossier, map, mappe, carpeta, cartella, pasta,
папка, 文件夹, フォルダ, フォルダー, 폴더, das, die, der, les, des, ces, le, foto, fotos, bilder, bild"""
_SIGNS = "?？¿؟"
_OTHER_SIGNS = "-_–—.…!~*#"
_LONG = 7
_ENDING = 3


def _listed(text: str) -> Iterator[str]:
    for expression in text.split(","):
        if joined := "".join(words(expression)):
            yield joined


UNSORTED = frozenset(word for text in _BY_LANGUAGE.values() for word in _listed(text))
"""Expressions for images that are not labelled yet, without spaces."""

PERHAPS_UNSORTED = frozenset(_listed(_PERHAPS)) - UNSORTED
"""Expressions that may mean this, but may also be a class."""

_LEFT_OUT = (frozenset(_listed(_BESIDE)) | DATA) - UNSORTED


def is_unsorted(name: str) -> bool:
    """Whether a name means images that are not sorted or labelled yet: ``à trier``, ``noch zu
    sortieren``, ``未分类图片``, ``???``."""
    sign = name.strip()
    return (len(sign) > 1 and set(sign) <= {*_SIGNS}) or _says(name, UNSORTED)


def may_be_unsorted(name: str) -> bool:
    """Whether a name may mean this, but may also be a class: ``unklar``, ``onbekend``, ``?``,
    ``unsorted dogs``."""
    sign = name.strip()
    if sign and set(sign) <= {*_SIGNS, *_OTHER_SIGNS}:
        return True
    return (
        _says(name, PERHAPS_UNSORTED)
        or any(len(word) > _LONG and _is_one_of(word, UNSORTED) for word in words(name))
        or _says_twice(name)
    )


def _says_twice(name: str) -> bool:
    """Whether each word alone means this: ``review_later``, ``pending check``."""
    rest = [word for word in words(name) if word not in _LEFT_OUT]
    return len(rest) > 1 and (PERHAPS_UNSORTED | UNSORTED).issuperset(rest)


def _says(name: str, expressions: frozenset[str]) -> bool:
    found = words(name)
    if not found:
        return False
    rest = [word for word in found if word not in _LEFT_OUT]
    return _is_one_of("".join(found), expressions) or (
        len(rest) < len(found) and _is_one_of("".join(rest), expressions)
    )


def _is_one_of(text: str, expressions: frozenset[str]) -> bool:
    """Whether ``text`` is an expression, with another ending (``unsortiertes``) or a word for images
    right beside it (``未分类图片``, ``还未分类``)."""
    if text in expressions:
        return True
    for end in range(len(text) - 1, 0, -1):
        if text[:end] in expressions:
            rest = text[end:]
            if rest in _LEFT_OUT or (end >= _LONG and len(rest) <= _ENDING):
                return True
        if text[end:] in expressions and text[:end] in _LEFT_OUT:
            return True
    return False
