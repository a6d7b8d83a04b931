"""Owns numbers in a message: digits in both notations and number words in Spanish, English and Portuguese."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .text import Token


def _table(text: str) -> dict[str, int]:
    pairs = (item.split(":") for item in text.split())
    return {word: int(number) for number, words in pairs for word in words.split(",")}


_SMALL: Final = _table(
    "0:zero,cero 1:one,uno 2:two,dos,dois,duas 3:three,tres 4:four,cuatro,quatro 5:five,cinco 6:six,seis "
    "7:seven,siete,sete 8:eight,ocho,oito 9:nine,nueve,nove 10:ten,diez,dez 11:eleven,once,onze "
    "12:twelve,doce,doze "
    "13:thirteen,trece,treze 14:fourteen,catorce,quatorze 15:fifteen,quince,quinze "
    "16:sixteen,dieciseis,dezesseis "
    "17:seventeen,diecisiete,dezessete 18:eighteen,dieciocho,dezoito 19:nineteen,diecinueve,dezenove "
    "20:twenty,veinte,vinte 21:veintiuno,veintiun 22:veintidos 23:veintitres 24:veinticuatro "
    "25:veinticinco "
    "26:veintiseis 27:veintisiete 28:veintiocho 29:veintinueve 30:thirty,treinta,trinta "
    "40:forty,cuarenta,quarenta "
    "50:fifty,cincuenta,cinquenta 60:sixty,sesenta,sessenta 70:seventy,setenta 80:eighty,ochenta,oitenta "
    "90:ninety,noventa 100:cien,ciento,cem,cento 200:doscientos,doscientas,duzentos "
    "300:trescientos,trescientas,trezentos "
    "400:cuatrocientos,quatrocentos 500:quinientos,quinientas,quinhentos 600:seiscientos,seiscentos "
    "700:setecientos,setecentos 800:ochocientos,oitocentos 900:novecientos,novecentos"
)
_WEAK: Final = {"un": 1, "una": 1, "um": 1, "uma": 1, "a": 1, "an": 1}
_SCALE: Final = {"hundred": 100, "thousand": 1000, "mil": 1000, "k": 1000, "million": 10**6, "millon": 10**6}
_LINK: Final = frozenset({"and", "y", "e", "-"})
_DIGITS: Final = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Number:
    """A number at tokens [first, last]; `weak` when the word may be an article ("una mesa")."""

    value: float
    first: int
    last: int
    weak: bool = False


def parse_digits(text: str) -> float | None:
    """Read "1,500", "1.500", "49,90" or "49.90"; a group of exactly three digits counts as thousands."""
    if not _DIGITS.fullmatch(text):
        return None
    parts = re.split(r"[.,]", text)
    grouped = len(parts) > 1 and all(len(part) == 3 for part in parts[1:]) and 1 <= len(parts[0]) <= 3
    if len(parts) == 1 or (grouped and parts[0] != "0"):
        return float("".join(parts))
    if len(parts) > 2 and any(len(part) != 3 for part in parts[1:-1]):
        return None
    return float("".join(parts[:-1]) + "." + parts[-1])


def find_numbers(tokens: Sequence[Token]) -> list[Number]:
    """All numbers, left to right, without overlaps."""
    found: list[Number] = []
    place = 0
    while place < len(tokens):
        number = _digits_at(tokens, place) or _words_at(tokens, place)
        if number is None:
            place += 1
        else:
            found.append(number)
            place = number.last + 1
    return found


def _digits_at(tokens: Sequence[Token], place: int) -> Number | None:
    text = tokens[place].fold
    scale = 1000 if len(text) > 1 and text.endswith("k") and text[:-1].isdigit() else 1
    value = parse_digits(text[:-1] if scale > 1 else text)
    if value is None:
        return None
    following = tokens[place + 1].fold if place + 1 < len(tokens) else ""
    if scale == 1 and following in _SCALE and following != "hundred":
        return Number(value * _SCALE[following], place, place + 1)
    return Number(value * scale, place, place)


def _words_at(tokens: Sequence[Token], place: int) -> Number | None:
    parts: list[int] = []
    last = place
    for index in range(place, min(len(tokens), place + 8)):
        word = tokens[index].fold
        values = [_SMALL.get(part) for part in word.split("-")]
        if word in _SCALE and (parts or word == "mil"):
            parts.append(_SCALE[word])
        elif (all(values) or values == [0]) and _smaller(values[0], parts):
            parts.extend(value or 0 for value in values)
        elif not (word in _LINK and parts and _continues(tokens, index)):
            break
        else:
            continue
        last = index
    if parts:
        return Number(float(_total(parts)), place, last)
    weak = _WEAK.get(tokens[place].fold)
    return None if weak is None else Number(float(weak), place, place, weak=True)


def _smaller(value: int | None, parts: Sequence[int]) -> bool:
    """Whether a word may follow within one number: "veinte cinco" may, "two three" may not."""
    if not parts or parts[-1] >= 1000:
        return True
    return value is not None and 0 < value < parts[-1] and parts[-1] % 10 == 0 and parts[-1] >= 20


def _continues(tokens: Sequence[Token], index: int) -> bool:
    """Whether the word after "and" goes on with the same number: "treinta y cinco", not "dos y tres"."""
    following = tokens[index + 1].fold if index + 1 < len(tokens) else ""
    before = _SMALL.get(tokens[index - 1].fold, 100)
    return _SMALL.get(following, 1000) < before and before % 10 == 0 and before >= 20


def _total(parts: Sequence[int]) -> int:
    total = current = 0
    for part in parts:
        if part == 100 and 0 < current < 10:
            current *= 100
        elif part >= 1000:
            total, current = total + max(current, 1) * part, 0
        else:
            current += part
    return total + current
