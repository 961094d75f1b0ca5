"""Names of splits, by language: a reviewed list of words, compared in the form of ``words``.

A word with other meanings (a gallery, an exam) is a split only beside an unambiguous one.
"""

from collections.abc import Iterator

from labelling.sources.names.words import folded, words
from labelling.sources.reading import Split

# Language: train; validation; test. Where a language has one word for validation and test, it
# stands under validation and under EITHER.
_BY_LANGUAGE = {
    "English": (
        "train, trains, training, trainings, trn, trainval, finetune, finetuning",
        "val, vals, valid, validation, validations, validate, dev, devel, development, eval, evals, "
        "evaluation, evaluations, evaluate",
        "test, tests, testing, tst, holdout, held out, hold out, testdev, testset, testa, testb",
    ),
    "Afrikaans": ("opleiding, afrig", "validering", "toets, toetsing, toetsstel"),
    "Albanian": ("trajnim, trajnimi, stervitje", "vleresim, vlefshmeri, validim", "testim, testimi"),
    "Arabic": (
        "تدريب, التدريب, تدريبية, التدريبية, تعليم, التعلم",
        "تحقق, التحقق, تقييم, التقييم, مصادقة",
        "اختبار, الاختبار, إختبار, اختبارية, امتحان, تجربة",
    ),
    "Basque": ("entrenamendu, entrenamendua, ikasketa", "balidazio, balidazioa", "proba, probak"),
    "Bengali": ("প্রশিক্ষণ, ট্রেনিং, ট্রেইন", "যাচাই, যাচাইকরণ, বৈধতা", "পরীক্ষা, টেস্ট"),
    "Bulgarian": ("обучение, обучаващ, тренировъчен, тренировка", "валидация, валидиране", "тест, тестове, тестов, изпит"),
    "Catalan": ("entrenament, aprenentatge", "validació, avaluació", "prova, proves"),
    "Chinese": (
        "训练, 训练集, 訓練, 訓練集, 培训, 学习集, 训练样本, 训练组",
        "验证, 验证集, 驗證, 驗證集, 校验, 校验集, 评估, 评估集, 評估, 验证组",
        "测试, 测试集, 測試, 測試集, 试验集, 考试, 测试组, 测试样本",
    ),
    "Croatian, Bosnian, Serbian, Slovene": (
        "trening, treniranje, obuka, obucavanje, ucenje, vjezba, ucni, обука, обучавање, тренинг, vadba",
        "validacija, provjera, provera, vrednovanje, preverjanje, валидација, провера",
        "testiranje, testni, testna, ispitivanje, preizkus, тест, тестирање",
    ),
    "Czech, Slovak": (
        "trénink, trénování, trénovací, tréning, trénovanie, trénovacia, učení, učenie, výcvik",
        "validace, validační, validácia, validačná, ověření, ověřovací, overenie, overovacia",
        "testovací, testování, testovacia, testovanie, zkouška, zkušební, skúška, skúšobná",
    ),
    "Danish, Norwegian": (
        "træning, træne, trening, treningssett, træningssæt, opplæring, læring, oplæring",
        "validering, evaluering",
        "afprøvning, prøve, prøver, testsæt, testsett, utprøving",
    ),
    "Dutch": (
        "trainen, trainingsset, oefenen, oefening, oefenset, leren, leerset",
        "valideren, validatie, validatieset, evaluatie",
        "testen, toets, toetsen, toetsing, testset, proef",
    ),
    "Estonian": ("treening, treenimine, õpe, õppimine, treeningandmed", "valideerimine, kontroll", "testimine, testandmed"),
    "Filipino": ("pagsasanay, sanay", "pagpapatunay, pagpapatibay", "pagsubok, pagsusulit"),
    "Finnish": (
        "koulutus, opetus, harjoitus, harjoittelu, koulutusaineisto, opetusaineisto",
        "validointi, arviointi, vahvistus",
        "testi, testit, testaus, koe, testiaineisto, testijoukko",
    ),
    "French": (
        "entraînement, entrainements, apprentissage, entraîner",
        "validation, évaluation, vérification",
        "essai, essais, épreuve, épreuves",
    ),
    "Georgian, Armenian": ("ტრენინგი, სწავლება, ուսուցում", "ვალიდაცია, վալիդացիա, ստուգում", "ტესტი, ტესტირება, թեստ"),
    "German": (
        "Lernen, Lern, lernend, Trainieren, Trainings, Übung, Übungs, Anlernen, Einlernen, Lehr, Schulung",
        "Validierung, Validierungs, validieren, Validations, Bewertung, Evaluierung, Evaluations, Überprüfung",
        "Prüf, Prüfung, Prüfungs, Prüfen, Testen, Erprobung, Testung",
    ),
    "Greek": ("εκπαίδευση, εκπαίδευσης, εκμάθηση", "επικύρωση, επικύρωσης, αξιολόγηση", "δοκιμή, δοκιμής, δοκιμές, έλεγχος, τεστ"),
    "Hebrew": ("אימון, אימונים, למידה, הדרכה", "אימות, ולידציה, תיקוף", "מבחן, בדיקה, בדיקות, טסט"),
    "Hindi, Marathi, Nepali": ("प्रशिक्षण, ट्रेनिंग, ट्रेन, तालीम", "सत्यापन, मान्यकरण, प्रमाणीकरण, वैलिडेशन", "परीक्षण, परीक्षा, टेस्ट, चाचणी, जाँच"),
    "Hungarian": (
        "tanítás, tanító, tanulás, tanuló, betanítás, képzés, edzés, gyakorló",
        "validálás, validáció, validációs, érvényesítés, ellenőrzés, ellenőrző",
        "teszt, tesztek, teszthalmaz, tesztelés, tesztadatok, próba, vizsga",
    ),
    "Icelandic": ("þjálfun, æfing", "staðfesting, sannprófun", "prófun, próf"),
    "Indonesian, Malay": (
        "latih, latihan, pelatihan, data latih, pembelajaran, melatih",
        "validasi, pengesahan, penilaian, evaluasi, data validasi",
        "uji, ujian, pengujian, data uji, tes, ujicoba",
    ),
    "Italian": (
        "addestramento, allenamento, apprendimento, addestra",
        "validazione, convalida, valutazione, verifica, verifiche",
        "prova, prove, collaudo",
    ),
    "Japanese": (
        "訓練, 学習, トレーニング, トレイン, 教師データ, 訓練データ, くんれん",
        "検証, バリデーション, 評価, 確認用, 検証データ",
        "テスト, 試験, テストデータ",
    ),
    "Korean": ("학습, 훈련, 트레이닝, 트레인, 교육", "검증, 평가, 밸리데이션, 확인", "테스트, 시험, 실험"),
    "Latvian, Lithuanian": (
        "apmācība, apmācības, treniņš, mokymas, mokymo, mokymosi, treniravimas",
        "validācija, validācijas, pārbaude, validavimas, validacija, patikra",
        "testēšana, testa, testavimas, testavimo, testiniai, bandymas, bandymo",
    ),
    "Persian": ("آموزش, آموزشی, تمرین, یادگیری", "اعتبارسنجی, ارزیابی, صحت سنجی", "آزمایش, آزمون, آزمایشی, تست"),
    "Polish": (
        "trening, treningowe, treningowy, treningowa, uczące, uczący, ucząca, uczenie, uczenia, nauka, "
        "ćwiczenie, ćwiczenia, szkolenie, szkoleniowe, trenowanie",
        "walidacja, walidacyjne, walidacyjny, walidacyjna, sprawdzające, weryfikacja, ocena",
        "testowe, testowy, testowa, testy, testowanie, próba, sprawdzian",
    ),
    "Portuguese": (
        "treino, treinos, treinamento, treinar, aprendizado, aprendizagem",
        "validação, avaliação, verificação",
        "teste, testes, prova, provas, ensaio",
    ),
    "Romanian": ("antrenare, antrenament, învățare, instruire", "validare, evaluare, verificare", "testare, teste, probă"),
    "Russian": (
        "обучение, обучения, обучающая, обучающий, обучающие, обучающее, обучающей, тренировка, тренировки, "
        "тренировочная, тренировочный, тренировочные, тренинг, трейн, учебная, учебные, учебный",
        "валидация, валидации, валидационная, валидационный, валидационные, проверка, проверки, "
        "проверочная, проверочный, проверочные, оценка",
        "тест, тесты, тестовая, тестовый, тестовые, тестовое, тестовой, тестирование, контрольная, контрольные, "
        "экзамен, испытание, испытания",
    ),
    "Spanish": (
        "entrenamiento, entrenamientos, entrenar, aprendizaje, adiestramiento",
        "validación, evaluación, verificación, comprobación",
        "prueba, pruebas, ensayo, ensayos, testeo",
    ),
    "Swahili": ("mafunzo, mazoezi", "uthibitishaji, uthibitisho, tathmini", "jaribio, majaribio, mtihani"),
    "Swedish": ("träning, träna, träningsdata, inlärning, upplärning", "validering, utvärdering, kontroll", "prov, provning, testning"),
    "Tamil, Telugu, Kannada, Malayalam": (
        "பயிற்சி, శిక్షణ, ತರಬೇತಿ, പരിശീലനം",
        "சரிபார்ப்பு, ధృవీకరణ, ಮೌಲ್ಯೀಕರಣ, സാധൂകരണം",
        "சோதனை, పరీక్ష, ಪರೀಕ್ಷೆ, പരിശോധന",
    ),
    "Thai": ("ฝึก, ฝึกสอน, ฝึกอบรม, การฝึก, เทรน, เรียนรู้", "ตรวจสอบ, การตรวจสอบ, ประเมิน", "ทดสอบ, การทดสอบ, เทส, สอบ"),
    "Turkish, Azerbaijani": (
        "eğitim, eğitme, öğrenme, eğitimi, təlim, öyrənmə",
        "doğrulama, geçerleme, sağlama, değerlendirme, yoxlama, təsdiq",
        "sınama, deneme, sınav, testi, test etme, sınaq",
    ),
    "Ukrainian, Belarusian": (
        "навчання, навчальна, навчальний, навчальні, тренування, тренувальна, тренувальні, тренувальний, навучанне",
        "валідація, валідаційна, валідаційні, перевірка, перевірочна, оцінка, праверка",
        "тест, тести, тестова, тестовий, тестові, тестування, іспит, тэст",
    ),
    "Urdu": ("تربیت, ٹریننگ, مشق", "توثیق, تصدیق", "جانچ, ٹیسٹ, آزمائش"),
    "Vietnamese": (
        "huấn luyện, luyện tập, đào tạo, tập huấn, học tập, luyện",
        "thẩm định, xác thực, kiểm định, xác nhận, đánh giá",
        "kiểm tra, kiểm thử, thử nghiệm",
    ),
}  # fmt: skip
_EITHER = """eval, evals, evaluation, evaluations, evaluate, avaluació, evaluering, evaluatie, évaluation,
vérification, arviointi, Evaluierung, Evaluations, Überprüfung, Bewertung, αξιολόγηση, penilaian, evaluasi, valutazione,
verifica, verifiche, 評価, 评估, 评估集, 評估, 평가, 확인, ارزیابی, تقييم, التقييم, avaliação, evaluare, verificare,
оценка, проверка, проверки, проверочная, проверочный, проверочные, evaluación, verificación, comprobación,
utvärdering, kontroll, değerlendirme, оцінка, перевірка, перевірочна, đánh giá, weryfikacja, ocena, sprawdzające,
ověření, ověřovací, overenie, overovacia, provjera, provera, провера, preverjanje, ellenőrzés, ellenőrző, patikra,
pārbaude, ստուգում"""
_OTHER = "pred, preds, predict, prediction, predictions, inference"
_WEAK: dict[Split, str] = {
    "train": "learn, learning, practice, formation, nauka, leren, obuka, lehr, mazoezi, مشق, 교육",
    "val": "check, 확인",
    "test": "exam, exams, examination, examen, esame, exame, gallery, galleries, query, queries, probe, "
    "probes, prove, prov, proef, koe, próf, essai, ensaio, ensayo, 실험, تجربة",
}
_DATA = """données, donnée, datos, dados, dati, dane, danych, gegevens, veri, veriler, verileri, verisi,
daten, datensatz, datasett, datasæt, dataset, adatok, adathalmaz, halmaz, aineisto, joukko, podaci, podaci, skup,
zbiór, zestaw, sada, množina, sady, conjunto, ensemble, échantillon, insieme, ansamblu, kümesi, küme, seti,
menge, satz, stichprobe, bilder, bild, fotos, foto, images, imágenes, imagens, immagini, obrazy, zdjęcia, resimler,
выборка, выборки, данные, данных, набор, изображения, картинки, фото, вибірка, дані, зображення, набір, зображень,
数据, 数据集, 數據, 資料, 资料, 图片, 图像, 圖片, 影像, 样本, 集, 组, データ, データセット, セット, 画像, 用, 写真,
데이터, 데이터셋, 세트, 셋, 용, 이미지, 사진, بيانات, البيانات, مجموعة, صور, داده, تصاویر, נתונים, נתוני, סט, תמונות,
ข้อมูล, ชุด, ชุดข้อมูล, ภาพ, रूप, डेटा, चित्र, δεδομένα, σύνολο, εικόνες, dữ liệu, tập, bộ, ảnh, hình ảnh, gambar,
citra, data, kuvat, kép, képek, obrázky, snímky, slike, bilde, bileder, billeder, afbeeldingen"""
_PARTICLES = """public, private, hidden, blind, internal, external, unseen, official, leaderboard, lb, stage, phase,
de, d, des, du, la, le, les, el, los, di, da, do, dos, per, der, die, das, zum, zur, fur, von, för, til, til, av,
voor, van, za, na, do, dla, pro, a, az, için, для, на, de, do, в, και, και, for, the, to, untuk, cho"""


def _listed(text: str) -> Iterator[str]:
    """The words of a list, folded; an expression of several words is joined."""
    for expression in text.split(","):
        yield "".join(words(expression))


def _splits() -> Iterator[tuple[str, Split | None]]:
    for train, val, test in _BY_LANGUAGE.values():
        yield from ((word, "train") for word in _listed(train))
        yield from ((word, "val") for word in _listed(val))
        yield from ((word, "test") for word in _listed(test))
    for split, text in _WEAK.items():
        yield from ((word, split) for word in _listed(text))
    yield from ((word, None) for word in _listed(_OTHER))


def _phrases() -> Iterator[tuple[str, ...]]:
    texts = [text for row in _BY_LANGUAGE.values() for text in row]
    for text in (*texts, _DATA):
        for expression in text.split(","):
            if len(found := tuple(words(expression))) > 1:
                yield found


SPLITS: dict[str, Split | None] = dict(_splits())
"""Words for splits; ``None``: predictions, or images to predict."""

EITHER = frozenset(_listed(_EITHER))
"""Words that may mean validation or test."""

ENGLISH_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "trainingset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "validationset"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "holdout"), "test"),
}
"""Words that mean a split in a list or as the title of a column, also without another split."""

TRAIN_AND_VAL = frozenset({"trainval", "trainvalid", "trainvalidation", "traindev"})
"""Names of lists that hold train and val together."""

SHORT_PARTS = frozenset(
    {"train", "trn", "val", "valid", "test", "tst", "pred", "dev", "eval", "lern", "pruf", "uji"}
)
"""Short words for splits that may be joined with another word: ``trainset``."""

WEAK = frozenset(word for text in _WEAK.values() for word in _listed(text))
"""Words that mean a split only beside another split."""

DATA = frozenset(_listed(_DATA))
"""Words for data and images that may be beside the word for a split."""

PARTICLES = frozenset(_listed(_PARTICLES))
"""Words to ignore beside the word for a split."""

PHRASES = tuple(sorted(set(_phrases()), key=len, reverse=True))
"""Expressions of several words for splits and data."""

_FIRST_OF_PHRASES = {phrase[0] for phrase in PHRASES}
_STEMS = ("test", "valid", "train", "eval", "тест", "валид", "трен", "uczac", "entren", "entrain")
_NO_SPLITS = {
    *("trainer", "trainers", "trainee", "trainees", "testimony", "testis", "testes", "testicle"),
    *("testament", "tester", "testers", "trains", "validity", "trainman", "validus", "testudo"),
}


def sounds_like_split(name: str) -> bool:
    """Whether a word of ``name`` begins like a word for a split, in any language."""
    return any(
        word.startswith(_STEMS) and word not in _NO_SPLITS and len(word) <= 12
        for word in map(folded, words(name))
    )


def joined_phrases(found: list[str]) -> list[str]:
    """``found`` with expressions of several words joined into one."""
    if len(found) < 2 or _FIRST_OF_PHRASES.isdisjoint(found):
        return found
    for phrase in PHRASES:
        size = len(phrase)
        for at in range(len(found) - size + 1):
            if tuple(found[at : at + size]) == phrase:
                found = [*found[:at], "".join(phrase), *found[at + size :]]
    return found
