"""What `doctor` says: one sentence a finding, in Spanish (voseo), English and Portuguese, never with a secret."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ..i18n import LANGUAGES, language

State = Literal["ok", "note", "unsafe", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` names the sentence, `values` fill it. `unsafe` and `broken` are for somebody to mend."""

    area: str
    state: State
    code: str
    values: Mapping[str, str] = field(default_factory=dict)

    def says(self, locale: str) -> str:
        return WORDS[self.code][LANGUAGES.index(language(locale))].format(**self.values)

    def row(self, locale: str) -> dict[str, Any]:
        return {"area": self.area, "state": self.state, "code": self.code, "says": self.says(locale)}


def finding(area: str, state: State, code: str, **values: object) -> Finding:
    return Finding(area, state, code, {name: str(value) for name, value in values.items()})


def locale_of(environment: Mapping[str, str], fallback: str) -> str:
    """The language of the terminal (POSIX: LC_ALL, LC_MESSAGES, LANG) if it is one of ours, else `fallback`."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name, ""):
            tag = value.partition(".")[0]
            return tag if tag[:2].lower() in LANGUAGES else fallback
    return fallback


def terminal_locale(fallback: str) -> str:
    return locale_of(os.environ, fallback)


def lines(findings: Iterable[Finding], locale: str) -> list[str]:
    """Worst last, where a terminal shows it; then how many there are to mend."""
    ordered = sorted(findings, key=lambda one: _ORDER.index(one.state))
    place = LANGUAGES.index(language(locale))
    shown = [f"{_LABELS[one.state][place]:<10} {one.area}: {one.says(locale)}" for one in ordered]
    wrong = sum(one.state in ("unsafe", "broken") for one in ordered)
    code = "all_well" if wrong == 0 else "to_mend"
    return [*shown, WORDS[code][place].format(count=wrong)]


_ORDER: Final = ("ok", "note", "unsafe", "broken")
_LABELS: Final[dict[State, tuple[str, str, str]]] = {
    "ok": ("bien", "ok", "certo"),
    "note": ("nota", "note", "nota"),
    "unsafe": ("INSEGURO", "UNSAFE", "INSEGURO"),
    "broken": ("ROTO", "BROKEN", "QUEBRADO"),
}

WORDS: Final[dict[str, tuple[str, str, str]]] = {
    "all_well": ("Nada para arreglar.", "Nothing to mend.", "Nada para consertar."),
    "to_mend": ("Para arreglar: {count}.", "To mend: {count}.", "Para consertar: {count}."),
    "does_not_start": (
        "así no arranca: {why}",
        "it does not start like this: {why}",
        "assim não inicia: {why}",
    ),
    "environment": ("ENVIRONMENT={value}.", "ENVIRONMENT={value}.", "ENVIRONMENT={value}."),
    "development_reached": (
        "es un servidor de desarrollo y otros llegan a él ({where}). Antes de usarlo en serio: ENVIRONMENT=production.",
        "this is a development server that others reach ({where}). Before real use: ENVIRONMENT=production.",
        "é um servidor de desenvolvimento que outros alcançam ({where}). Antes do uso real: ENVIRONMENT=production.",
    ),
    "web_open": (
        "WEB_AUTH=open y otros llegan a este servidor: cualquiera puede hablar como cualquiera. Poné token o jwt.",
        "WEB_AUTH=open, and others reach this server: anybody can speak as anybody. Use token or jwt.",
        "WEB_AUTH=open e outros alcançam este servidor: qualquer um fala como qualquer um. Use token ou jwt.",
    ),
    "web": ("WEB_AUTH={value}.", "WEB_AUTH={value}.", "WEB_AUTH={value}."),
    "short_secret": (
        "{variable} tiene menos de {least} bytes. Poné uno más largo y al azar.",
        "{variable} is shorter than {least} bytes. Make a longer one, at random.",
        "{variable} tem menos de {least} bytes. Faça um mais longo, ao acaso.",
    ),
    "minted_key": (
        "SECRET_KEY no está; se usa la de {file}. Con otra carpeta, los códigos mostrados dejan de valer.",
        "SECRET_KEY is unset; the one in {file} is used. With another folder, tokens that were shown stop working.",
        "SECRET_KEY não está definida; usa-se a de {file}. Em outra pasta, os códigos mostrados deixam de valer.",
    ),
    "key": ("SECRET_KEY está.", "SECRET_KEY is set.", "SECRET_KEY está definida."),
    "unsigned": (
        "PROVIDER_VERIFY_SIGNATURE=0: nadie revisa quién manda los webhooks. Poné 1.",
        "PROVIDER_VERIFY_SIGNATURE=0: nobody checks who sends webhooks. Set it to 1.",
        "PROVIDER_VERIFY_SIGNATURE=0: ninguém confere quem envia os webhooks. Use 1.",
    ),
    "no_operators": (
        "sin OPERATOR_API_KEYS nadie ve la auditoría ni aprueba por HTTP. Formato: nombre:rol:clave.",
        "without OPERATOR_API_KEYS nobody sees the audit or approves over HTTP. Format: name:role:key.",
        "sem OPERATOR_API_KEYS ninguém vê a auditoria nem aprova por HTTP. Formato: nome:papel:chave.",
    ),
    "operators": ("operadores: {names}.", "operators: {names}.", "operadores: {names}."),
    "no_internal_keys": (
        "/wa/agent está cerrada: no hay INTERNAL_API_KEY.",
        "/wa/agent is shut: there is no INTERNAL_API_KEY.",
        "/wa/agent está fechada: não há INTERNAL_API_KEY.",
    ),
    "internal_keys": (
        "claves de /wa/agent: {names}.",
        "keys of /wa/agent: {names}.",
        "chaves de /wa/agent: {names}.",
    ),
    "any_host": (
        "se acepta cualquier cabecera Host. Poné PUBLIC_BASE_URL o ALLOWED_HOSTS.",
        "any Host header is taken. Set PUBLIC_BASE_URL or ALLOWED_HOSTS.",
        "aceita-se qualquer cabeçalho Host. Defina PUBLIC_BASE_URL ou ALLOWED_HOSTS.",
    ),
    "no_tls": (
        "PUBLIC_BASE_URL no es https: lo que pasa por ahí lo lee cualquiera. Poné TLS adelante.",
        "PUBLIC_BASE_URL is not https: anybody on the way reads what passes. Put TLS in front.",
        "PUBLIC_BASE_URL não é https: qualquer um no caminho lê o que passa. Ponha TLS na frente.",
    ),
    "sqlite_several": (
        "SQLite sirve a un solo proceso: poné WORKERS_INLINE=1 y un solo worker web, o una DB_URL de MySQL.",
        "SQLite serves one process: use WORKERS_INLINE=1 and one web worker, or a MySQL DB_URL.",
        "SQLite atende um só processo: use WORKERS_INLINE=1 e um só worker web, ou uma DB_URL de MySQL.",
    ),
    "tools": (
        "{count}, de ellas {writes} que piden confirmación.",
        "{count}, {writes} of which ask first.",
        "{count}, das quais {writes} pedem confirmação.",
    ),
    "role_without_key": (
        "{tool} espera a alguien con el rol «{role}», y ninguna clave de OPERATOR_API_KEYS lo tiene.",
        "{tool} waits for somebody with the role “{role}”, and no key of OPERATOR_API_KEYS has it.",
        "{tool} espera alguém com o papel «{role}», e nenhuma chave de OPERATOR_API_KEYS o tem.",
    ),
    "database_new": (
        "{where} todavía no existe; el primer arranque la crea.",
        "{where} is not there yet; the first start makes it.",
        "{where} ainda não existe; o primeiro início a cria.",
    ),
    "database_away": (
        "{where} no contesta: {why}. Revisá DB_URL y que el servidor esté andando.",
        "{where} does not answer: {why}. Check DB_URL, and that the server runs.",
        "{where} não responde: {why}. Confira DB_URL e se o servidor está rodando.",
    ),
    "database": (
        "{where} contesta y el esquema está al día.",
        "{where} answers and its schema is current.",
        "{where} responde e o esquema está em dia.",
    ),
    "migrations": (
        "al esquema le faltan migraciones ({tables}). Corré: llm-planner db upgrade",
        "the schema lacks migrations ({tables}). Run: llm-planner db upgrade",
        "faltam migrações no esquema ({tables}). Rode: llm-planner db upgrade",
    ),
    "migrations_at_start": (
        "al esquema le faltan migraciones ({tables}); el próximo arranque las aplica.",
        "the schema lacks migrations ({tables}); the next start applies them.",
        "faltam migrações no esquema ({tables}); o próximo início as aplica.",
    ),
    "database_no_tls": (
        "la base está en otra máquina y DB_URL no pide TLS. Agregá ?ssl_ca=archivo.",
        "the database is on another machine, and DB_URL asks for no TLS. Add ?ssl_ca=file.",
        "o banco está em outra máquina e DB_URL não pede TLS. Acrescente ?ssl_ca=arquivo.",
    ),
    "clock": (
        "el reloj de la base y el de esta máquina difieren en {seconds} s: firmas y vencimientos fallan. Usá NTP.",
        "the database's clock and this machine's differ by {seconds} s: signatures and expiries fail. Use NTP.",
        "o relógio do banco e o desta máquina diferem em {seconds} s: assinaturas e vencimentos falham. Use NTP.",
    ),
    "no_worker": (
        "hay mensajes esperando hace más de un minuto y nadie los atiende. Arrancá: llm-planner worker",
        "messages have waited for more than a minute and nobody takes them up. Start: llm-planner worker",
        "há mensagens esperando há mais de um minuto e ninguém as atende. Inicie: llm-planner worker",
    ),
    "worker": (
        "nada espera desde hace más de un minuto.",
        "nothing has waited for more than a minute.",
        "nada espera há mais de um minuto.",
    ),
    "running": (
        "un servidor está usando esta base ahora.",
        "a server is using this database now.",
        "um servidor está usando este banco agora.",
    ),
    "not_running": (
        "ningún servidor está usando esta base ahora.",
        "no server is using this database now.",
        "nenhum servidor está usando este banco agora.",
    ),
    "dead_letters": (
        "{count} envíos no salieron y necesitan a una persona: llm-planner outbox list --state {kind}",
        "{count} deliveries did not go out and need a person: llm-planner outbox list --state {kind}",
        "{count} envios não saíram e precisam de uma pessoa: llm-planner outbox list --state {kind}",
    ),
    "unknown_writes": (
        "{count} escrituras de resultado desconocido esperan a una persona: llm-planner writes list --state unknown",
        "{count} writes with an unknown outcome wait for a person: llm-planner writes list --state unknown",
        "{count} escritas de resultado desconhecido esperam uma pessoa: llm-planner writes list --state unknown",
    ),
    "embedded": (
        "el planificador integrado; sin clave ni servidor.",
        "the embedded planner; no key, no server.",
        "o planejador embutido; sem chave nem servidor.",
    ),
    "given_model": (
        "el modelo que dio el programa: {name}.",
        "the model that the program gave: {name}.",
        "o modelo que o programa deu: {name}.",
    ),
    "model": (
        "{where} contesta y tiene {model}.",
        "{where} answers and has {model}.",
        "{where} responde e tem {model}.",
    ),
    "model_unsure": (
        "{where} contesta, y no dice qué modelos tiene (HTTP {status}).",
        "{where} answers, and does not say which models it has (HTTP {status}).",
        "{where} responde e não diz quais modelos tem (HTTP {status}).",
    ),
    "model_away": (
        "{where} no contesta ({why}). Revisá {variable} y que el servidor esté andando.",
        "{where} does not answer ({why}). Check {variable}, and that the server runs.",
        "{where} não responde ({why}). Confira {variable} e se o servidor está rodando.",
    ),
    "model_key": (
        "{where} rechaza la clave. Revisá {variable}.",
        "{where} refuses the key. Check {variable}.",
        "{where} recusa a chave. Confira {variable}.",
    ),
    "model_missing": (
        "{where} no tiene {model}. Bajalo ahí, o cambiá {variable}.",
        "{where} has no {model}. Pull it there, or change {variable}.",
        "{where} não tem {model}. Baixe-o lá, ou mude {variable}.",
    ),
    "no_mail": (
        "sin SMTP_URL el correo queda en la bandeja: llm-planner outbox list",
        "without SMTP_URL mail stays in the outbox: llm-planner outbox list",
        "sem SMTP_URL o correio fica na caixa de saída: llm-planner outbox list",
    ),
    "mail": (
        "{where} contesta y acepta las credenciales.",
        "{where} answers and takes the credentials.",
        "{where} responde e aceita as credenciais.",
    ),
    "mail_away": (
        "{where}: {why}. Revisá SMTP_URL.",
        "{where}: {why}. Check SMTP_URL.",
        "{where}: {why}. Confira SMTP_URL.",
    ),
    "no_provider": (
        "ninguno configurado; /provider/inbound está cerrada. Para abrirla: docs/providers.",
        "none is configured; /provider/inbound is shut. To open it: docs/providers.",
        "nenhum configurado; /provider/inbound está fechada. Para abri-la: docs/providers.",
    ),
    "door": (
        "recibe en {path} y las respuestas salen.",
        "takes webhooks at {path}, and replies leave.",
        "recebe em {path} e as respostas saem.",
    ),
    "door_shut": (
        "la puerta contesta 503: falta o no sirve {variable}.",
        "its door answers 503: {variable} is missing or unusable.",
        "a porta responde 503: falta ou não serve {variable}.",
    ),
    "handshake_shut": (
        "el alta en Meta va a fallar: falta WHATSAPP_VERIFY_TOKEN.",
        "Meta's handshake will fail: WHATSAPP_VERIFY_TOKEN is missing.",
        "o cadastro na Meta vai falhar: falta WHATSAPP_VERIFY_TOKEN.",
    ),
    "no_replies": (
        "recibe mensajes y ninguna respuesta puede salir: falta {variable}.",
        "it takes messages and no reply can leave: {variable} is missing.",
        "recebe mensagens e nenhuma resposta pode sair: falta {variable}.",
    ),
    "no_template": (
        "pasadas 24 horas del último mensaje no se puede contestar: falta {variable}.",
        "24 hours after the last message nobody can be answered: {variable} is missing.",
        "24 horas depois da última mensagem não se pode responder: falta {variable}.",
    ),
    "no_buttons": (
        "las tarjetas salen como texto, sin botones: falta TWILIO_CARD_CONTENT_SID.",
        "cards leave as text, without buttons: TWILIO_CARD_CONTENT_SID is missing.",
        "os cartões saem como texto, sem botões: falta TWILIO_CARD_CONTENT_SID.",
    ),
    "reply_url_no_tls": (
        "GENERIC_REPLY_URL no es https: las respuestas viajan a la vista.",
        "GENERIC_REPLY_URL is not https: replies travel in the open.",
        "GENERIC_REPLY_URL não é https: as respostas viajam abertas.",
    ),
}
