"""A rule-based system as a teacher: Debian's apertium-spa-cat on real Spanish text, called as a program.

Its licence is GPL-2+: nothing of it is in Potstill, and what is compared is what it prints.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from sacrebleu import CHRF

from stages.dataset.stage import export_sources
from tests.stages.given.corpus import corpus, joined, row, texts_of

# Interface text of Home Assistant (Apache-2.0), Spanish and Catalan, as people translated both from English.
PAIRS = {
    "Formato de fecha desconocido en la respuesta del servidor whois": "Format de data desconegut a la resposta del "
    "servidor whois",
    "No se puede cruzar la alfombra": "No es pot travessar la catifa",
    "Producción de energía estimada - esta hora": "Producció d'energia estimada - aquesta hora",
    "Idioma a utilizar para la generación del habla.": "Idioma a utilitzar per a la generació de la veu.",
    "Credenciales de la aplicación": "Credencials de l'aplicació",
    "El dispositivo descubierto no es un dispositivo Lutron": "El dispositiu descobert no és un dispositiu Lutron",
    "Transferencia de baja tensión": "Transferència per baixa tensió",
    "Introduce la latitud y longitud a supervisar:": "Introdueix la latitud i la longitud a monitoritzar:",
    "Fecha para comprobar si es día laborable.": "Data a comprovar si és un dia laborable.",
    "Impresora Brother descubierta": "Impressora Brother descoberta",
    "La entidad tiene un estado negativo": "L'entitat té un estat negatiu",
    "No se encontraron sitios que el usuario pueda administrar.": "No s'han trobat llocs que l'usuari pugui gestionar.",
}


def _missing() -> str:
    """Why it cannot be asked here; empty where it can."""
    advice = "apt-get install apertium-spa-cat apertium-lex-tools cg3"
    if not shutil.which("apertium"):
        return f"apertium is not installed: {advice}"
    asked = subprocess.run(["apertium", "-l"], capture_output=True, text=True, check=False)
    whole = "spa-cat" in asked.stdout.split() and shutil.which("lrx-proc") and shutil.which("cg-proc")
    return "" if whole else f"apertium has no whole spa-cat here: {advice}"


def test_its_translations_come_to_their_rows(tmp_path: Path) -> None:
    if missing := _missing():
        pytest.skip(missing)
    sources = list(PAIRS)
    texts = corpus(
        tmp_path,
        {
            "train-00000": [row(source) for source in sources[:8]],
            "test-00000": [row(source, split="test") for source in sources[8:]],
        },
    )
    assert export_sources(texts, tmp_path) == {"sources": len(PAIRS)}
    head, *lines = (tmp_path / "sources.tsv").read_text(encoding="utf-8").splitlines()
    asked = "".join(f"{line.split(chr(9))[4]}\n" for line in lines)
    told = subprocess.run(["apertium", "-u", "spa-cat"], input=asked, capture_output=True, text=True, check=True).stdout
    together = zip(lines, told.splitlines(), strict=True)
    (tmp_path / "apertium.tsv").write_text(
        "".join(f"{one}\n" for one in [f"{head}\ttarget", *("\t".join(pair) for pair in together)])
    )
    given, metrics = joined(texts, tmp_path / "apertium.tsv", made_by="apertium-spa-cat")
    assert (metrics["unmatched"], metrics["translations"]) == (0, len(PAIRS))
    found = texts_of(given) | texts_of(given, "test")
    translations = [found[row(source)["id"]][0] for source in sources]
    chrf = CHRF().corpus_score(translations, [list(PAIRS.values())]).score
    copied = CHRF().corpus_score(sources, [list(PAIRS.values())]).score
    assert chrf > 60, "72.6 on 402 sentences of the kind"
    assert chrf > copied + 15, "Spanish itself is near to Catalan, but not as near"
