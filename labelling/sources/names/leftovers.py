"""Names of folders that are never meant as a class, in many languages: bins, duplicates, old
versions."""

from collections.abc import Collection, Iterator

from labelling.sources.names.splits import DATA
from labelling.sources.names.words import words

_LEFTOVERS = """recycle bin, recyclebin, deleted, deleted items, removed, to delete, delete me, discard, discarded,
duplicate, duplicates, dupe, dupes, dups, duplicated, copies, copy, ignore, ignored, exclude, excluded, do not use, dont use,
don t use, not used, obsolete, outdated, old version, old versions, older, old stuff, old photos, old images, old data, previous,
Papierkorb, gelöscht, gelöschte, löschen, zu löschen, Duplikat, Duplikate, Dubletten, Kopie, Kopien, ignorieren,
nicht verwenden, nicht benutzen, aussortiert, veraltet, alte Version, alte Versionen, alte Bilder, alte Fotos, alte Daten,
Sicherungskopie, Datensicherung, temporär,
corbeille, supprimé, supprimés, supprimer, à supprimer, à jeter, doublon, doublons, copie, copies, ignorer, ne pas utiliser, obsolète,
anciens, anciennes photos, ancienne version, anciennes versions, sauvegardes, temporaire, vieilles photos,
papelera, papelera de reciclaje, eliminado, eliminados, eliminadas, borrar, borrados, borradas, para borrar, duplicado, duplicados, duplicadas,
copia, copias, repetidos, repetidas, ignorar, no usar, obsoleto, versión antigua, copia de seguridad, copias de seguridad, respaldos,
cestino, eliminati, eliminate, cancellati, cancellate, da eliminare, da cancellare, duplicato, duplicati, doppione, doppioni, copie,
ignorare, non usare, versione vecchia, vecchie foto, copia di sicurezza, copie di sicurezza,
lixeira, excluído, excluídos, excluídas, para apagar, cópia, cópias, repetidas, não usar, cópia de segurança,
prullenbak, prullenmand, verwijderd, verwijderen, dubbelen, duplicaat, duplicaten, kopieën, kopieen, niet gebruiken, negeren, reservekopie,
reservekopieën, verouderd, kosz, usunięte, do usunięcia, usunąć, duplikaty, kopia, kopie, nie używać, ignorować, stara wersja, kopia zapasowa, kopie zapasowe,
smazané, smazat, ke smazání, duplikáty, duplicity, nepoužívat, záloha, zálohy, vymazané, zmazané, duplicitné,
корзина, удаленные, удалённые, удалить, на удаление, дубликат, дубликаты, дубли, повторы, копия, копии, не использовать, игнорировать, старая версия, старые версии,
резервная копия, резервные копии, бэкап, бекап, кошик, видалені, видалити, дублікати, копія, копії, не використовувати, резервна копія, кошче, изтрити,
дубликати, копия, obrisano, za brisanje, kopija, kopije, sigurnosna kopija, izbrisano, podvojene, корпа, обрисано, копија,
papperskorg, papperskorgen, raderade, raderat, ta bort, dubblett, dubbletter, kopior, använd inte, säkerhetskopia, säkerhetskopior,
papirkurv, papirkurven, slettet, slettede, slett, dubletter, kopier, ikke brug, ikke bruk, sikkerhetskopi, sikkerhedskopi,
roskakori, poistetut, poistettu, poista, kaksoiskappale, kaksoiskappaleet, kopio, kopiot, älä käytä, varmuuskopio, varmuuskopiot,
prügikast, kustutatud, duplikaadid, koopia, koopiad, varukoopia, atkritne, dzēstie, dublikāti, kopijas, šiukšliadėžė, ištrinti, dublikatai, kopijos,
lomtár, törölt, töröltek, törlendő, törölni, duplikátum, duplikátumok, másolat, másolatok, ne használd, biztonsági mentés, biztonsági másolat, régi verzió,
coș de reciclare, șterse, de șters, duplicat, duplicate, copii vechi, nu folosi, copie de rezervă, κάδος, κάδος ανακύκλωσης, διαγραμμένα, διπλότυπα, διπλά, αντίγραφο,
αντίγραφα, αντίγραφα ασφαλείας, geri dönüşüm kutusu, çöp kutusu, silinen, silinenler, silinecek, silinecekler, kopya, kopyalar, yinelenen, yinelenenler, mükerrer,
kullanma, yedek, yedekler, paperera, duplicats, còpia, còpies, còpia de seguretat, zakarrontzia, bikoiztuak, kopiak, babeskopia, dublikatat,
tempat sampah, dihapus, hapus, duplikat, salinan, cadangan, jangan dipakai, jangan digunakan, tong sampah, pendua, thùng rác, đã xóa, xóa, trùng lặp, bản sao, bản trùng,
sao lưu, không dùng, nakala, rudufu, basurahan, kopya,
سلة المحذوفات, محذوف, محذوفات, مكرر, مكررة, نسخة, نسخ, نسخة احتياطية, نسخ احتياطي, سطل زباله, حذف شده, تکراری, کپی, پشتیبان,
סל מיחזור, נמחק, נמחקו, למחיקה, כפולים, כפילויות, עותק, עותקים, גיבוי, रीसायकल बिन, हटाए गए, डुप्लिकेट, प्रतिलिपि, बैकअप, ডুপ্লিকেট, অনুলিপি, নকল, ব্যাকআপ,
ถังขยะ, ถังรีไซเคิล, ลบแล้ว, ซ้ำ, สำเนา, สำรอง, ไม่ใช้, ასლი, დუბლიკატები, աղբաման, պատճեն, կրկնօրինակներ,
回收站, 回收筒, 资源回收筒, 垃圾桶, 废弃, 废纸篓, 已删除, 删除, 待删除, 重复, 重複, 重复图片, 副本, 拷贝, 复制, 備份, 备份, 不用, 不要, 旧版本, 作废,
ごみ箱, ゴミ箱, 削除, 削除済み, 削除予定, 重複, 重複画像, コピー, 複製, バックアップ, 使わない, 不要, 没, ボツ, 휴지통, 삭제, 삭제됨, 삭제예정, 중복, 사본, 복사본, 백업, 사용안함, 사용 안함"""
_OLD = """old, alt, vieux, vieille, vieilles, ancien, ancienne, anciennes, viejo, viejos, vieja, viejas, antiguo, antiguos, antiguas,
vecchio, vecchi, vecchia, vecchie, velho, velhos, velha, velhas, antigo, antigos, antigas, oude, stary, stare, stara, starý, staré, stará,
старое, старые, старый, старі, старе, стари, старо, gammal, gamla, gammalt, gammel, gamle, gammelt, gömul, gamalt, vanha, vanhat, vana, vanad, vecs, veci, senas, seni,
régi, régiek, vechi, veche, vechile, παλιά, παλιό, παλιές, eski, eskiler, köhnə, vell, vells, zaharra, vjetër, vjetra, lumang, zamani,
قديم, قديمة, قدیمی, پرانا, ישן, ישנים, ישנות, पुराना, पुराने, পুরনো, পুরানো, பழைய, పాత, ಹಳೆಯ, പഴയ, เก่า, ძველი, հին, 旧, 舊, 古い, 旧版, 旧的, 옛날, 예전, 구버전"""
_OF_AGES = """new, newer, newest, young, used, fresh, adult, baby, child, children, kid, teen, middle, aged, elderly, recent, modern, vintage, antique, mature, juvenile, newborn,
neu, neue, neues, jung, junge, gebraucht, kind, kinder, modern, neuwertig, frisch, mittel, jeune, jeunes, neuf, neuve, nouveau, nouvelle, récent, moderne, enfant, adulte, usagé,
nuevo, nuevos, nueva, nuevas, joven, jóvenes, usado, usados, moderno, niño, nuovo, nuovi, nuova, nuove, giovane, giovani, usato, bambino, novo, novos, nova, novas, jovem, jovens,
nieuw, nieuwe, jong, jonge, gebruikt, nowy, nowe, nowa, młody, młode, używany, nový, nové, mladý, новый, новое, новые, молодой, молодые, новий, нові, ny, nya, nytt, nye, ung, unga, unge,
uusi, uudet, nuori, nuoret, uus, noor, új, fiatal, nou, noi, noua, tânăr, νέο, νέα, νέος, yeni, yeniler, genç, yaşlı, baru, muda, trẻ, جديد, جديدة, شاب, جدید, جوان, חדש, חדשים, צעיר,
नया, नए, नये, युवा, নতুন, ใหม่, 新, 新的, 新品, 年轻, 老, 老人, 中年, 新しい, 若い, 새것, 신형, 젊은, 구형"""
_BIN = "trash, trashed, garbage, rubbish, bin, Müll, poubelle, basura, spazzatura, lixo, śmieci, мусор, 垃圾, ゴミ, 쓰레기, çöp"
_OF_WASTE = """paper, plastic, plastics, glass, metal, cardboard, organic, recyclable, recyclables, recycling, recycle, compost, battery, batteries, ewaste, biological,
clothes, shoes, clean, litter, no, not, non, without, with, dirty, hazardous, landfill, can, cans, bottle, bottles, bag, food, waste, street, road, sidewalk, bench, hydrant,
papier, glas, metall, plastik, karton, bio, restmüll, sauber, verre, métal, carton, plastique, papel, plástico, vidrio, vidro, cartón, papelão, carta, vetro, plastica, szkło, plastik, стекло,
пластик, бумага, металл, kağıt, cam, 玻璃, 塑料, 纸, 金属, 可回收, 紙, プラスチック, ガラス"""
_FOLDERS = """new folder, neuer ordner, neuordner, nouveau dossier, nueva carpeta, carpeta sin título, nuova cartella, cartella senza titolo, nova pasta, nieuwe map,
naamloze map, nowy folder, folder bez nazwy, nový priečinok, nová složka, bez názvu, ny mapp, namnlös mapp, ny mappe, unavngiven mappe, uusi kansio, nimetön kansio, uus kaust, jauna mape,
naujas aplankas, új mappa, folder nou, dosar nou, νέος φάκελος, yeni klasör, adsız klasör, новая папка, папка без названия, нова папка, нова тека, nova mapa, nova fascikla, carpeta nova,
karpeta berria, folder baru, thư mục mới, مجلد جديد, پوشه جدید, پوشهٔ جدید, תיקייה חדשה, תיקיה חדשה, नया फ़ोल्डर, নতুন ফোল্ডার, โฟลเดอร์ใหม่, 新建文件夹, 未命名文件夹, 新增資料夾, 未命名檔案夾, 新しいフォルダー,
新しいフォルダ, 名称未設定フォルダ, 새 폴더, 무제 폴더, ordner ohne titel, dossier sans titre, sans titre, sin título, senza titolo, sem título, pasta sem título, untitled folder, unbenannt, unbenannter ordner"""


def _listed(text: str) -> Iterator[str]:
    for expression in text.split(","):
        if joined := "".join(words(expression)):
            yield joined


_DOUBLES = (
    "duplicat",
    "duplikat",
    "duplicad",
    "duplicaten",
    "dublett",
    "doublon",
    "doppion",
    "dublikat",
    "дубликат",
    "дублікат",
)

LEFTOVERS = frozenset(_listed(_LEFTOVERS))
"""Expressions for bins, duplicates, copies and old versions, without spaces."""

_OLD_WORDS, _AGES = frozenset(_listed(_OLD)), frozenset(_listed(_OF_AGES))
_BINS, _WASTE = frozenset(_listed(_BIN)), frozenset(_listed(_OF_WASTE))
_NEW_FOLDERS = frozenset(_listed(_FOLDERS))


def is_leftover(name: str) -> bool:
    """Whether a name means images that were put aside: ``Papierkorb``, ``doublons``, ``alt``."""
    found = words(name)
    rest = "".join(word for word in found if word not in DATA)
    joined = {"".join(found), rest}
    return any(not joined.isdisjoint(known) for known in (LEFTOVERS, _OLD_WORDS, _BINS)) or any(
        word.startswith(_DOUBLES) for word in found
    )


def is_class_beside(name: str, others: Collection[str]) -> bool:
    """Whether the name of a leftover is a class, judging by its neighbours: ``old`` beside
    ``young``, ``trash`` beside ``glass``."""
    joined = "".join(words(name))
    beside = {word for other in others for word in words(other)}
    if joined in _OLD_WORDS:
        return not _AGES.isdisjoint(beside)
    return joined in _BINS and not (_WASTE | _BINS).isdisjoint(beside)


def is_new_folder(name: str) -> bool:
    """Whether a name is a desktop's name for a new folder: ``Nouveau dossier (2)``."""
    return "".join(words(name)) in _NEW_FOLDERS
