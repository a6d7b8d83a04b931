"""Owns the embedded planner's own words: small talk, questions for a missing value, refusals."""

from collections.abc import Mapping, Sequence
from typing import Final

from .bank import Topic
from .cards import ToolCard
from .schema import Field, FieldKind, split_name

_TALK: Final[Mapping[str, Mapping[Topic, str]]] = {
    "es": {
        "greeting": "¡Hola! ¿En qué te puedo ayudar? {abilities}",
        "wellbeing": "¡Todo bien, gracias! ¿En qué te puedo ayudar?",
        "thanks": "¡De nada! Si necesitás algo más, decime.",
        "goodbye": "¡Hasta luego! Que estés bien.",
        "acknowledge": "¡Perfecto! Si necesitás algo más, decime.",
        "decline": "De acuerdo. Si necesitás algo más, decime.",
        "identity": "Soy un asistente automático. {abilities}",
        "abilities": "{abilities} ¿Qué necesitás?",
        "upset": "Perdón por la molestia. ¿Me lo contás de otra forma? {abilities}",
        "kind": "¡Gracias! ¿En qué te puedo ayudar?",
        "laugh": "¡Ja! ¿En qué te puedo ayudar?",
        "other": "Perdón, con eso no te puedo ayudar. {abilities}",
    },
    "en": {
        "greeting": "Hello! How can I help you? {abilities}",
        "wellbeing": "I'm fine, thank you! How can I help you?",
        "thanks": "You're welcome! Tell me if you need anything else.",
        "goodbye": "Goodbye! Take care.",
        "acknowledge": "Great! Tell me if you need anything else.",
        "decline": "All right. Tell me if you need anything else.",
        "identity": "I'm an automatic assistant. {abilities}",
        "abilities": "{abilities} What do you need?",
        "upset": "I'm sorry about that. Could you put it in another way? {abilities}",
        "kind": "Thank you! How can I help you?",
        "laugh": "Ha! How can I help you?",
        "other": "Sorry, I can't help you with that. {abilities}",
    },
    "pt": {
        "greeting": "Olá! Como posso ajudar? {abilities}",
        "wellbeing": "Tudo bem, obrigado! Como posso ajudar?",
        "thanks": "De nada! Se precisar de mais alguma coisa, é só dizer.",
        "goodbye": "Até logo! Fique bem.",
        "acknowledge": "Perfeito! Se precisar de mais alguma coisa, é só dizer.",
        "decline": "Tudo certo. Se precisar de mais alguma coisa, é só dizer.",
        "identity": "Sou um assistente automático. {abilities}",
        "abilities": "{abilities} Do que você precisa?",
        "upset": "Desculpe pelo incômodo. Pode dizer de outra forma? {abilities}",
        "kind": "Obrigado! Como posso ajudar?",
        "laugh": "Ha! Como posso ajudar?",
        "other": "Desculpe, com isso não posso ajudar. {abilities}",
    },
}
_CAN: Final = {"es": "Puedo ayudarte con:", "en": "I can help you with:", "pt": "Posso ajudar com:"}
_ASK: Final = {
    "es": "Para eso me falta {what}. ¿Me lo pasás?",
    "en": "For that I still need {what}. Could you give it to me?",
    "pt": "Para isso ainda preciso de {what}. Pode me passar?",
}
_AND: Final = {"es": " y ", "en": " and ", "pt": " e "}
_DATUM: Final = {"es": "este dato: «{label}»", "en": "this: “{label}”", "pt": "este dado: “{label}”"}
_KNOWN: Final[Mapping[FieldKind, Mapping[str, str]]] = {
    "email": {"es": "tu correo electrónico", "en": "your e-mail address", "pt": "seu e-mail"},
    "phone": {"es": "tu número de teléfono", "en": "your telephone number", "pt": "seu número de telefone"},
    "person": {"es": "tu nombre y apellido", "en": "your full name", "pt": "seu nome completo"},
}
_SHOWN: Final = 8


def language(locale: str) -> str:
    """The language of a locale that there are texts for; Spanish otherwise."""
    short = locale.lower().replace("_", "-").split("-")[0]
    return short if short in _TALK else "es"


def talk(topic: Topic, locale: str, cards: Sequence[ToolCard]) -> str:
    """The reply to a message that needs no tool."""
    short = language(locale)
    return _TALK[short][topic].format(abilities=_abilities(short, cards)).strip()


def _abilities(short: str, cards: Sequence[ToolCard]) -> str:
    titles = [_title(card) for card in cards[:_SHOWN]]
    more = ", …" if len(cards) > _SHOWN else "."
    return f"{_CAN[short]} {'; '.join(titles)}{more}" if titles else ""


def _title(card: ToolCard) -> str:
    words = (card.title or card.description).strip().split(". ")[0].rstrip(".") or " ".join(
        split_name(card.name)
    )
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


def ask(missing: Sequence[Field], locale: str) -> str:
    """The question for the values that a call still needs."""
    short = language(locale)
    names = [_name(field, short) for field in missing[:3]]
    what = names[0] if len(names) == 1 else ", ".join(names[:-1]) + _AND[short] + names[-1]
    return _ASK[short].format(what=what)


def _name(field: Field, short: str) -> str:
    known = _KNOWN.get(field.kind)
    return known[short] if known else _DATUM[short].format(label=field.label.strip().rstrip("."))
