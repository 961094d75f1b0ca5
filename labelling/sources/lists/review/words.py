"""Titles of columns that say which lines of a table count, by language: a reviewed list.

They are compared in the form of ``words``.
"""

from collections.abc import Iterator

from labelling.sources.lists.labels.yes_and_no import TRUE_OR_FALSE
from labelling.sources.names.words import folded, words

# Language: never a class (excluded, discarded, deleted, checked, verified, labelled,
# done); may also be a class (valid, usable, scrap, state).
_BY_LANGUAGE = {
    "English": (
        "accepted, approved, confirmed, reviewed, rejected, validated, verified, isvalid, iscorrect, "
        "excluded, exclude, status, discarded, discard, ignored, ignore, skipped, deleted, delete, "
        "deleteflag, removed, labeled, labelled, annotated, isdone, finished, "
        "islabeled, islabelled, isannotated, isdeleted, isexcluded, isapproved, ischecked, isreviewed, "
        "dropped, include, included, do not use, dont use, not used, to delete, to exclude",
        "checked, use, used, usable, keep, kept, bad quality",
    ),
    "Afrikaans": ("uitgesluit, uitsluit, nagegaan, verwyder, goedgekeur", "geldig, ongeldig, bruikbaar"),
    "Albanian": ("perjashtuar, perjashto, verifikuar, kontrolluar, fshire", "vlefshem, pavlefshem, e vlefshme, statusi, gjendja"),
    "Arabic": (
        "استبعاد, مستبعد, مستبعدة, استثناء, مستثنى, تجاهل, محذوف, حذف, تم التحقق, مؤكد, مرفوض, مقبول, تمت المراجعة, مراجعة",
        "صالح, صالحة, غير صالح, الحالة, حالة",
    ),
    "Basque": ("baztertu, baztertua, ezabatu, egiaztatua, berrikusia", "baliozkoa, baliogabea, egoera"),
    "Bengali": ("বাদ, বাতিল, মুছে ফেলা, যাচাইকৃত, পর্যালোচিত", "বৈধ, অবৈধ, অবস্থা"),
    "Bulgarian": (
        "изключи, изключен, изключена, изключени, изтрит, изтрита, проверен, проверена, проверено, потвърден, отхвърлен, пропусни",
        "валиден, валидна, валидно, невалиден, невалидно, годен, негоден, брак, състояние, статус",
    ),
    "Catalan": (
        "excloure, exclòs, exclosa, descartar, descartat, descartada, ignorar, esborrat, eliminar, eliminat, verificat, revisat, "
        "aprovat, rebutjat, comprovat, validat",
        "vàlid, vàlida, no vàlid, invàlid, útil, estat",
    ),
    "Chinese": (
        "排除, 是否排除, 剔除, 是否剔除, 删除, 刪除, 是否删除, 已删除, 忽略, 跳过, 丢弃, 弃用, 作废, 已作废, 已审核, 审核, 审核结果, "
        "审核状态, 审核通过, 是否审核, 复核, 已复核, 复核结果, 已核对, 已确认, 是否确认, 已验证, 是否通过, 通过审核, 是否使用, 是否采用, "
        "采用, 已标注, 是否标注, 標註完成, 已完成, 是否完成, 審核, 審核狀態, 是否排除",
        "有效, 是否有效, 有效性, 无效, 是否无效, 無效, 合格, 是否合格, 可用, 是否可用, 废品, 报废, 状态, 狀態, 质检, 质检结果, 正确, 是否正确",
    ),
    "Croatian, Bosnian, Serbian, Slovene": (
        "isključi, isključeno, isključen, izključi, izključeno, izbrisano, obrisano, zanemari, odbaci, odbačeno, provjereno, "
        "provereno, preverjeno, potvrđeno, potrjeno, odbijeno, zavrnjeno, preskoči, искључено, искључи, проверено, потврђено, обрисано",
        "valjan, valjano, važeće, nevažeće, ispravno, neispravno, veljavno, neveljavno, važi, uporabno, škart, izmet, stanje, status, важеће",
    ),
    "Czech, Slovak": (
        "vyloučit, vyloučeno, vyloučený, vylúčiť, vylúčené, vyřadit, vyřazeno, vyřazený, vyradiť, vyradené, smazat, smazáno, zmazané, "
        "ignorovat, ignorovať, přeskočit, preskočiť, ověřeno, overené, zkontrolováno, skontrolované, schváleno, schválené, "
        "zamítnuto, zamietnuté, potvrzeno, potvrdené, hotovo",
        "platný, platné, platná, neplatný, neplatné, použitelné, použiteľné, zmetek, nepodarok, stav",
    ),
    "Danish, Norwegian": (
        "ekskluder, ekskluderet, ekskludert, udeluk, udelukket, utelat, utelatt, utelukk, utelukket, kassér, kasseret, forkast, "
        "forkastet, slet, slettet, ignorer, ignorert, ignoreret, spring over, hopp over, kontrolleret, kontrollert, godkendt, godkjent, "
        "afvist, avvist, bekræftet, bekreftet, verificeret, verifisert, færdig, ferdig",
        "gyldig, gyldige, ugyldig, ugyldige, brugbar, brukbar, kassation, vrak, tilstand, status",
    ),
    "Dutch": (
        "uitsluiten, uitgesloten, sluit uit, negeren, genegeerd, overslaan, overgeslagen, verwijderen, verwijderd, verwerpen, "
        "verworpen, weglaten, weggelaten, gecontroleerd, nagekeken, goedgekeurd, afgekeurd, bevestigd, geverifieerd, gevalideerd, "
        "beoordeeld, niet gebruiken, gebruiken, klaar",
        "geldig, geldige, ongeldig, ongeldige, bruikbaar, onbruikbaar, afkeur, uitval, toestand, juist, onjuist, status, meetellen",
    ),
    "Estonian": ("välista, välistatud, kustutatud, kontrollitud, kinnitatud, tagasi lükatud, vahele jäetud", "kehtiv, kehtetu, kasutatav, praak, olek, seisund"),
    "Filipino": ("isama, hindi isama, tanggalin, tinanggal, nasuri, aprobado", "wasto, di wasto, balido, katayuan"),
    "Finnish": (
        "hylkää, hylätty, poista, poistettu, ohita, ohitettu, jätä pois, jätetty pois, poissuljettu, sulje pois, tarkistettu, "
        "tarkastettu, vahvistettu, hyväksytty, käytetään, valmis",
        "kelvollinen, kelpaa, kelpoinen, pätevä, virheellinen, kelvoton, käyttökelpoinen, tila",
    ),
    "French": (
        "exclure, exclu, exclue, exclus, à exclure, exclusion, ignorer, ignoré, ignorée, écarter, écarté, écartée, rejeter, rejeté, rejetée, "
        "supprimer, supprimé, supprimée, à supprimer, éliminer, éliminé, validé, validée, validées, validation, vérifié, "
        "vérifiée, contrôlé, contrôlée, relu, relue, approuvé, approuvée, confirmé, confirmée, refusé, refusée, accepté, acceptée, annoté, étiqueté, "
        "ne pas utiliser, à garder, garder, gardé, retenu, retenue, conserver, terminé",
        "valide, valides, invalide, invalides, non valide, valable, utilisable, inutilisable, utile, rebut, rebuté, correct, conforme, "
        "non conforme, douteux, statut, état, décision",
    ),
    "Georgian, Armenian": ("გამორიცხული, წაშლილი, შემოწმებული, დადასტურებული, բացառել, բացառված, ջնջված, ստուգված, հաստատված", "ვალიდური, სტატუსი, վավեր, անվավեր, կարգավիճակ"),
    "German": (
        "ausschließen, ausgeschlossen, ausschluss, ausschliessen, auszuschließen, ignorieren, ignoriert, überspringen, übersprungen, "
        "verwerfen, verworfen, weglassen, weggelassen, aussortieren, aussortiert, löschen, gelöscht, entfernen, entfernt, streichen, "
        "gestrichen, geprüft, überprüft, kontrolliert, gesichtet, freigegeben, freigabe, bestätigt, abgelehnt, abgenommen, angenommen, "
        "verifiziert, validiert, gelabelt, annotiert, beschriftet, nicht verwenden, verwenden, verwendet, nicht benutzen, benutzen, "
        "behalten, zurückgewiesen, genehmigt, erledigt, berücksichtigen, mitzählen, zählt, zählt mit",
        "gültig, gültige, ungültig, ungültige, valide, invalide, verwendbar, unverwendbar, brauchbar, unbrauchbar, nutzbar, verwertbar, "
        "ausschuss, zustand, stand, prüfstatus, bearbeitungsstand, korrekt, zweifelhaft, unsicher, entscheidung, richtig",
    ),
    "Greek": (
        "εξαίρεση, εξαιρείται, αποκλεισμός, αποκλείεται, αγνόηση, διαγραφή, διαγραμμένο, απόρριψη, απορρίφθηκε, ελεγμένο, ελέγχθηκε, επιβεβαιωμένο, εγκρίθηκε",
        "έγκυρο, έγκυρη, άκυρο, άκυρη, χρήσιμο, κατάσταση",
    ),
    "Hebrew": ("להחריג, הוחרג, לא לכלול, להתעלם, נמחק, למחוק, נבדק, אושר, נדחה, מאומת, לדלג, לפסול, נפסל", "תקין, תקף, לא תקין, לא תקף, פסול, שמיש, סטטוס, מצב"),
    "Hindi, Marathi, Nepali": ("बहिष्कृत, बाहर, हटाएं, हटाया, हटाया गया, अनदेखा, सत्यापित, जाँचा गया, स्वीकृत, अस्वीकृत, छोड़ें", "मान्य, अमान्य, वैध, अवैध, स्थिति"),
    "Hungarian": (
        "kizár, kizárva, kizárt, kizárás, kihagy, kihagyva, mellőz, mellőzve, törölve, törölt, törlendő, elutasítva, elvetve, "
        "ellenőrizve, ellenőrzött, jóváhagyva, jóváhagyott, megerősítve, kész",
        "érvényes, érvénytelen, használható, selejt, állapot, státusz",
    ),
    "Icelandic": ("útiloka, útilokað, hunsa, eytt, yfirfarið, staðfest, hafnað, samþykkt, sleppa", "gilt, gild, ógilt, nothæft, staða"),
    "Indonesian, Malay": (
        "kecualikan, dikecualikan, keluarkan, dikeluarkan, abaikan, diabaikan, hapus, dihapus, dipadam, buang, dibuang, tolak, ditolak, "
        "lewati, diperiksa, sudah diperiksa, disemak, diverifikasi, disetujui, diluluskan, dikonfirmasi, disahkan",
        "valid, sah, tidak valid, tidak sah, tak sah, layak, tidak layak, status, keadaan",
    ),
    "Italian": (
        "escludi, escludere, escluso, esclusa, esclusi, da escludere, esclusione, ignora, ignorare, ignorato, scarta, scartare, "
        "scartato, scartata, da scartare, elimina, eliminare, eliminato, cancellato, salta, saltato, rimosso, rimuovere, verificato, "
        "verificata, controllato, controllata, revisionato, approvato, approvata, respinto, respinta, rifiutato, confermato, convalidato, "
        "validato, validata, annotato, etichettato, da tenere, tenere, non usare, usare, fatto",
        "valido, valida, validi, non valido, invalido, utilizzabile, inutilizzabile, scarto, corretto, dubbio, incerto, stato",
    ),
    "Japanese": (
        "除外, 除外フラグ, 対象外, 無視, スキップ, 削除, 削除フラグ, 削除済み, 破棄, 却下, 不採用, 採用, 確認済み, 確認済, 確認, 検証済み, "
        "検証済, チェック済み, チェック済, レビュー済み, レビュー済, 承認, 承認済み, 承認済, 審査, 審査結果, ラベル済み, アノテーション済み, 使用, 使用可否, 不使用, 完了",
        "有効, 無効, 有効性, 有効フラグ, 可否, 使用可, 不良品, ステータス, 状態, 要確認",
    ),
    "Korean": (
        "제외, 제외여부, 제외 여부, 무시, 건너뛰기, 삭제, 삭제여부, 삭제 여부, 삭제됨, 폐기, 반려, 거부, 거절, 승인, 승인여부, 승인 여부, 검수, 검수여부, "
        "검수결과, 검수완료, 검수 완료, 검토, 검토완료, 확인됨, 확인여부, 검증됨, 검증여부, 사용여부, 사용 여부, 완료, 완료여부",
        "유효, 유효여부, 유효 여부, 유효성, 무효, 상태, 적합, 부적합, 사용가능",
    ),
    "Latvian, Lithuanian": (
        "izslēgt, izslēgts, dzēst, dzēsts, ignorēt, izlaist, pārbaudīts, apstiprināts, noraidīts, išskirti, neįtraukti, pašalinti, "
        "pašalinta, ištrinta, ignoruoti, praleisti, patikrinta, patvirtinta, atmesta",
        "derīgs, nederīgs, lietojams, brāķis, statuss, stāvoklis, galiojantis, galioja, negaliojantis, tinkamas, netinkamas, brokas, būsena",
    ),
    "Persian": ("حذف, حذف شده, مستثنی, نادیده, نادیده گرفتن, رد شده, تایید شده, تأیید شده, بررسی شده, کنار گذاشته", "معتبر, نامعتبر, قابل استفاده, وضعیت"),
    "Polish": (
        "wyklucz, wykluczyć, wykluczone, wykluczony, wykluczona, wyłącz, wyłączone, pomiń, pominąć, pominięte, pominięty, odrzuć, odrzucić, "
        "odrzucone, odrzucony, odrzucona, usuń, usunąć, usunięte, usunięty, ignoruj, ignorować, zignorowane, sprawdzone, sprawdzony, "
        "sprawdzona, zweryfikowane, zweryfikowany, zatwierdzone, zatwierdzony, zaakceptowane, potwierdzone, przejrzane, oznaczone, "
        "nie używać, użyć, gotowe",
        "ważne, ważny, ważna, nieważne, nieważny, poprawne, poprawny, niepoprawne, prawidłowe, prawidłowy, nieprawidłowe, użyteczne, "
        "przydatne, nadaje się, brak, wybrakowane, niepewne, stan, status",
    ),
    "Portuguese": (
        "excluir, excluído, excluída, excluídos, exclusão, ignorar, ignorado, ignorada, descartar, descartado, descartada, eliminar, "
        "eliminado, apagar, apagado, remover, removido, pular, pulado, verificado, verificada, revisado, revisada, revisto, "
        "conferido, aprovado, aprovada, rejeitado, rejeitada, recusado, confirmado, confirmada, validado, validada, anotado, rotulado, "
        "não usar, usar, manter, concluído, feito",
        "válido, válida, válidos, inválido, inválida, não válido, utilizável, aproveitável, refugo, sucata, correto, incorreto, duvidoso, "
        "incerto, situação, estado",
    ),
    "Romanian": (
        "exclude, exclus, exclusă, excludere, ignoră, ignorat, șters, șterge, eliminat, elimină, respins, respinsă, sărit, omis, "
        "verificat, verificată, aprobat, aprobată, confirmat, validat, revizuit",
        "valid, validă, invalid, nevalid, utilizabil, rebut, stare, corect",
    ),
    "Russian": (
        "исключить, исключен, исключён, исключена, исключено, исключение, игнорировать, игнор, пропустить, пропущено, пропуск, удалить, "
        "удален, удалён, удалена, удалено, отклонить, отклонен, отклонён, отклонено, отбросить, отброшено, отбраковано, проверен, "
        "проверена, проверено, подтвержден, подтверждён, подтверждено, утвержден, утверждено, одобрен, одобрено, принято, размечен, "
        "размечено, не использовать, использовать, учитывать, не учитывать, учесть, готово, завершено, согласовано",
        "валиден, валидна, валидно, валидный, невалидно, невалидный, действителен, действительно, недействителен, недействительно, годен, "
        "годно, годный, негоден, негодно, пригоден, пригодно, непригодно, брак, верно, неверно, корректно, некорректно, сомнительно, "
        "состояние, статус, валидность, годность",
    ),
    "Spanish": (
        "excluir, excluido, excluida, excluidos, exclusión, ignorar, ignorado, ignorada, descartar, descartado, descartada, desechar, "
        "desechado, eliminar, eliminado, eliminada, borrar, borrado, omitir, omitido, omitida, quitar, verificado, "
        "verificada, comprobado, revisado, revisada, aprobado, aprobada, rechazado, rechazada, aceptado, confirmado, confirmada, validado, "
        "validada, anotado, etiquetado, no usar, usar, conservar, mantener, hecho, terminado",
        "válido, válida, válidos, inválido, inválida, no válido, no válida, utilizable, inutilizable, útil, desecho, rechazo, correcto, "
        "incorrecto, dudoso, incierto, estado, situación",
    ),
    "Swahili": ("ondoa, imeondolewa, futa, imefutwa, puuza, imekaguliwa, imethibitishwa, imekataliwa", "halali, batili, hali"),
    "Swedish": (
        "uteslut, utesluten, uteslutet, exkludera, exkluderad, exkluderat, ignorera, ignorerad, hoppa över, kassera, kasserad, kasserat, "
        "ta bort, borttagen, radera, raderad, förkasta, förkastad, granskad, granskat, kontrollerad, kontrollerat, godkänd, godkänt, "
        "underkänd, underkänt, avvisad, bekräftad, verifierad, validerad, använd inte, använd",
        "giltig, giltigt, giltiga, ogiltig, ogiltigt, användbar, oanvändbar, kassation, skrot, osäker, status, tillstånd",
    ),
    "Tamil, Telugu, Kannada, Malayalam": ("நீக்கு, நீக்கப்பட்டது, சரிபார்க்கப்பட்டது, తొలగించు, తొలగించబడింది, ధృవీకరించబడింది, ತೆಗೆದುಹಾಕಿ, ಪರಿಶೀಲಿಸಲಾಗಿದೆ, ഒഴിവാക്കുക, പരിശോധിച്ചു", "செல்லுபடி, செல்லாது, நிலை, స్థితి, చెల్లుబాటు, చెల్లదు, ಮಾನ್ಯ, ಅಮಾನ್ಯ, സാധുവായ, അസാധു"),
    "Thai": ("ยกเว้น, ไม่รวม, ไม่นับ, ลบ, ลบแล้ว, ข้าม, ปฏิเสธ, ตรวจแล้ว, ตรวจสอบแล้ว, อนุมัติ, ยืนยันแล้ว, ละเว้น, คัดออก", "ถูกต้อง, ไม่ถูกต้อง, ใช้ได้, ใช้ไม่ได้, สถานะ, ของเสีย"),
    "Turkish, Azerbaijani": (
        "hariç, hariç tut, hariç tutuldu, hariç mi, dışla, dışlandı, çıkar, çıkarıldı, yoksay, yok say, atla, atlandı, sil, silindi, silinmiş, reddet, "
        "reddedildi, ret, elendi, kontrol edildi, doğrulandı, onaylandı, onay, onaylı, incelendi, kullanma, kullan, tamamlandı, istisna et, "
        "yoxlanılıb, təsdiqlənib, silinib",
        "geçerli, geçerli mi, geçersiz, kullanılabilir, kullanılamaz, ıskarta, hurda, durum, durumu, doğru mu, keçərli, etibarlı",
    ),
    "Ukrainian, Belarusian": (
        "виключити, виключено, виключений, ігнорувати, пропустити, пропущено, видалити, видалено, видалений, відхилено, відхилений, "
        "перевірено, перевірений, підтверджено, затверджено, схвалено, розмічено, не використовувати, враховувати, выключыць, праверана",
        "дійсний, дійсно, недійсний, недійсно, валідний, валідно, придатний, непридатний, придатно, брак, стан, статус, правильно",
    ),
    "Urdu": ("خارج, حذف, نظر انداز, تصدیق شدہ, جانچ شدہ, منظور, مسترد", "درست, غلط, کارآمد, حیثیت, حالت"),
    "Vietnamese": (
        "loại trừ, loại bỏ, bị loại, bỏ qua, đã xóa, xóa, từ chối, đã kiểm tra, đã xác minh, đã duyệt, phê duyệt, đã xác nhận, không dùng, không sử dụng, sử dụng",
        "hợp lệ, không hợp lệ, dùng được, trạng thái, phế phẩm, tình trạng",
    ),
}  # fmt: skip
_LITTLE = frozenset(
    map(
        folded,
        [
            "is",
            "ist",
            "est",
            "es",
            "e",
            "è",
            "é",
            "er",
            "är",
            "ist_es",
            "mi",
            "jest",
            "czy",
            "ob",
            "wird",
            "sind",
            "image",
            "bild",
            "foto",
            "photo",
        ],
    )
) | frozenset(map(folded, TRUE_OR_FALSE))
"""Words to ignore beside another one: ``ist gültig``, ``Ausschuss (ja/nein)``."""


def _listed(column: int) -> Iterator[str]:
    for row in _BY_LANGUAGE.values():
        for expression in row[column].split(","):
            if found := "".join(words(expression)):
                yield found


_SURE = frozenset(_listed(0))
_PERHAPS = frozenset(_listed(1))


def is_never_a_class(title: str) -> bool:
    """Whether a title is never the name of a class: excluded, verified, labelled."""
    title_words = words(title)
    # In a title of several words, the first or the last decides: ``label_status``, ``geprüft von``.
    return (
        bool({"".join(title_words), *title_words[:1], *title_words[-1:]} & _SURE)
        or _core(title_words) in _SURE
    )


def may_say_what_counts(title: str) -> bool:
    """Whether a title may say which lines count, even if it may be a class."""
    title_words = words(title)
    return (
        "".join(title_words) in _PERHAPS
        or _core(title_words) in _PERHAPS
        or is_never_a_class(title)
    )


def _core(title_words: list[str]) -> str:
    return "".join(word for word in title_words if word not in _LITTLE)
