"""Owns the words that mean the same in Spanish, English and Portuguese, so that an example in one language, or
in one country's words, is near to a message in another's."""

import re
from functools import lru_cache
from typing import Final

from .text import fold

# Folded: no accents. "*" stands for any ending, "_" for a space. Voseo, tú and usted are all here.
_CONCEPTS: Final[dict[str, str]] = {
    "order": "order orders ordered purchase* bought pedido* compra compras compre orden ordenes encomenda* "
    "package* parcel* paquete* pacote*",
    "track": "track* trac* rastre* locate locating localiz* eta progress seguimiento status estado andamento "
    "cade arrive* arriv* lleg* chegar chegou",
    "cancel": "cancel* anul* void undo stop call_off no_longer_want dar_de_baja dame_de_baja da_de_baja "
    "dad_de_baja ya_no_quiero ya_no_lo_quiero ya_no_la_quiero nao_quero_mais",
    "refund": "refund* reembols* restitution* compensat* rebate* reintegr* money_back devolv* devuelv* devolu* "
    "de_volta de_vuelta regres* estorn*",
    "money": "money cash dinero plata guita lana dinheiro efectivo",
    "invoice": "invoice* bill bills receipt* factura* fatura* comprobante* recibo* boleta* nota_fiscal",
    "pay": "pay pays paying paid payment* pago* pagar* pagamento* abonar cuotas installments instalments",
    "card": "card cards visa mastercard debit credit tarjeta* cartao cartoes debito credito",
    "ways": "method* option* modalit* forma formas medio medios metodo* opcion* opcoes",
    "deliver": "deliver* ship ships shipping shipment* envio envios envia envian envias enviais entreg* mandan "
    "mandais despach* domicilio abroad frete",
    "price": "cost costs charge charges fee fees price* cuesta* cuanto* quanto precio* preco* custa",
    "open": "open opens opening close closes closed closing abr* abiert* abert* cierr* cerrad* atiend* atend* "
    "fecha fecham funcionamento",
    "hours": "hour* hora horas horario* schedule",
    "shop": "shop shops store stores tienda* local negocio sucursal* loja lojas branch",
    "place": "address location located directions street direccion ubica* queda calle endereco fica lugar",
    "human": "person people human humans agent agents operator* representative* someone somebody staff "
    "employee persona personas humano humana asesor* alguien pessoa atendente alguem",
    "talk": "talk* speak* spoke contact* connect* habl* falar comuni* charlar conversar",
    "password": "password* pass pwd passcode pin login log_in sign_in contrasena* clave claves senha*",
    "recover": "forgot* forget* recover* reset* retriev* olvid* recuper* restablec* acuerdo esquec* lembro",
    "account": "account* profile cuenta cuentas usuario conta contas",
    "register": "register* sign_up sign_me_up enrol* create open_an_account new_client new_customer registr* "
    "inscri* dar_de_alta dame_de_alta anota anote anotame anotar apunta apuntame apuntar cadastr*",
    "customer": "customer* client clients cliente* clienta*",
    "newsletter": "newsletter* news boletin* novedades novidades",
    "subscribe": "subscri* unsubscri* suscri* assin*",
    "review": "review* rating rate rated feedback resena* calific* puntu* opinion avali*",
    "stars": "star stars points estrella* puntos estrela* pontos",
    "search": "search* look looking find busco busca buscar buscando buscame buscas encontr* procur*",
    "have": "have has got carry carries sell sells selling offer stock tienen tienes tenes teneis tendran tendras "
    "manejan manejas vende venden venda tem",
    "show": "show shows see mostr* muestr* ensen* ver",
    "weather": "weather forecast* rain* cold hot warm storm* snow* fog* cloud* sunny sun temperatur* clima "
    "pronostic* llov* lluv* frio calor torment* nev* chov* chuv* previsao",
    "play": "play plays playing put_on listen hear pon pone poner poneme reproduc* toca tocar escuch* oir",
    "music": "music* song songs album albums cancion* musica musicas tema temas disco discos",
    "playlist": "playlist* list lista listas",
    "add": "add adds adding put agreg* anadi* anade adicion* sum*",
    "booking": "booking reserv* table seat seats party_of mesa mesas turno cita appointment*",
    "eat": "restaurant* restaurante* eat food dinner lunch tavern gastropub bar bistro cafe comer comida cena "
    "almuerzo jantar",
    "film": "movie movies film films cinema cinemas theater* theatre* showtime* screening* pelicula* peli cine "
    "funcion funciones filme filmes",
    "book": "book novel* libro libros saga* livro livros",
    "joke": "joke* funny laugh* humor chiste* gracios* risa reir piada*",
    "say": "translate* say word language traduc* decir dice palabra idioma traduz*",
    "currency": "dollar* euro euros peso pesos exchange currency dolar* cambio cotizacion reais",
    "holiday": "holiday* day_off days_off vacation feriado* festivo* vacaciones",
    "lost": "lost stolen stole perdi perdio robaron robada robo extravi* roubaram",
}  # fmt: skip
_SPACED: Final = {
    word.replace("_", " "): name for name, words in _CONCEPTS.items() for word in words.split() if "_" in word
}
_EXACT: Final = {word: name for name, words in _CONCEPTS.items() for word in words.split() if word[-1] != "*"}
_BEGINNINGS: Final = sorted(
    ((word[:-1], name) for name, words in _CONCEPTS.items() for word in words.split() if word[-1] == "*"),
    key=lambda pair: -len(pair[0]),
)
_PHRASES: Final = re.compile(rf"\b(?:{'|'.join(sorted(_SPACED, key=len, reverse=True))})\b")
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def concepts(text: str) -> str:
    """The folded words of a text, each one that has synonyms replaced by what it means."""
    joined = _PHRASES.sub(lambda match: _SPACED[match[0]], fold(text))
    return " ".join(_meaning(match[0]) for match in _WORD.finditer(joined))


@lru_cache(maxsize=4096)
def _meaning(word: str) -> str:
    if word in _EXACT:
        return _EXACT[word]
    return next((name for beginning, name in _BEGINNINGS if word.startswith(beginning)), word)
