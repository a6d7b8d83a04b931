"""Owns the word lists of Spanish, English and Portuguese that the rules lean on (folded: no accents)."""

from typing import Final


def word_set(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


ARTICLES: Final = word_set(
    "the a an some any el la los las lo un una unos unas algun alguna algunos algunas o os um uma uns umas"
)
POSSESSIVES: Final = word_set(
    "my your our his her their mi mis tu tus su sus nuestro nuestra meu minha meus minhas seu sua "
    "seus suas teu tua"
)
DEICTICS: Final = word_set(
    "this that these those it its este esta esto estos estas ese esa eso esos esas aquel aquella "
    "esse essa isso isto "
    "estes essas one ones something anything someone algo alguien alguem here there aqui aca ahi "
    "alli nearby close cerca perto"
)
PREPOSITIONS: Final = word_set(
    "in at on for to into onto of from by with within without under below over above about around "
    "near than as "
    "en de del al a para por con sin sobre hasta desde entre como que segun "
    "em no na nos nas do da dos das ao aos com sem ate pelo pela num numa"
)
PRONOUNS: Final = word_set(
    "i me you we us they them he she who whom what which where when why how "
    "cuanto cuanta cuantos cuantas quanto quanta yo tu vos te se le les nos usted ustedes ella "
    "ellos quien cual cuales cuando donde "
    "eu voce voces ele ela eles elas quem qual quais quando onde lhe mim"
)
GLUE: Final = word_set(
    "and or but if so then also too just not is are was be been am were do does did have has had "
    "will would can could "
    "may might should shall must i'm it's i'd i've i'll that's what's "
    "y e o u ni pero si entonces tambien ya es son era ser estar soy estoy esta estan hay he ha han fue "
    "ou mas se tambem sou estou sao foi tem ha ser"
)
GREETINGS: Final = word_set(
    "hello hi hey hola buenas buenos buen dias dia tardes noches ola oi bom boa tarde noite"
)
COURTESY: Final = GREETINGS | word_set(
    "please pls plz thanks thank favor porfa porfavor gracias obrigado obrigada right now ok okay"
)
REQUEST: Final = word_set(
    "want wanna need like love looking look find search searching show see get got give buy sell "
    "sells offer carry "
    "stock help check tell know kind kinds sort sorts type types much many available price prices "
    "cost interested browse "
    "let's lets let try trying order buying purchase there "
    "quiero quisiera queria necesito busco buscar buscando busca buscame ando mostrame mostrar "
    "muestra muestras "
    "muestrame muestren mostrarme ver saber dame deme denme decime dime tienen tenes tiene tendran "
    "tendras tendra "
    "tendrian venden vende vendes ofrecen comprar conseguir precio precios sale salen vale valen "
    "cuesta cuestan gustaria interesa podes "
    "podrias puedes puede pueden podria ayuda ayudame encontrar encontra encontrame tipo tipos "
    "clase disponible "
    "disponibles "
    "quero gostaria preciso procuro procurando procurar mostre mostra mostrar tem temos teria "
    "vendem ver comprar "
    "preco precos custa pode poderia ajuda encontrar tipo voces"
)
STOP: Final = ARTICLES | POSSESSIVES | DEICTICS | PREPOSITIONS | PRONOUNS | GLUE
NEGATIONS: Final = word_set(
    "no not without don't dont never sin sem nao nunca jamas ninguna ningun except sacale"
)
YES: Final = word_set("yes yeah yep sure si claro dale sim true ok")
NO: Final = word_set("no nope nao not false")
NAMING: Final = word_set(
    "called named titled name llamado llamada titulado titulada nombre chamado chamada intitulado nome"
)

AT_MOST: Final = (
    "under", "below", "less than", "up to", "at most", "maximum", "max", "cheaper than", "no more than",
    "within",
    "menos de", "hasta", "maximo", "maximo de", "como mucho", "por debajo de", "debajo de", "no mas de",
    "a menos de",
    "menor a", "ate", "menos de", "no maximo", "abaixo de", "mais barato que", "mas barato que",
    "mas baratos que",
)  # fmt: skip
AT_LEAST: Final = (
    "over", "above", "more than", "at least", "minimum", "min", "from", "starting at",
    "mas de", "desde", "minimo", "al menos", "por lo menos", "como minimo", "a partir de",
    "por encima de", "mayor a",
    "mais de", "pelo menos", "no minimo", "acima de",
)  # fmt: skip
CURRENCY: Final = word_set(
    "$ € £ usd eur ars brl mxn clp dollar dollars euro euros peso pesos dolar dolares bucks lucas "
    "real reais pounds "
    "pound soles r$ u$s us$"
)
PERSON: Final = (
    "i'm", "i am", "im", "my name is", "my name's", "name is", "this is", "name", "for", "as",
    "call me", "client",
    "customer", "user", "soy", "me llamo", "mi nombre es", "nombre", "a nombre de", "como", "a",
    "cliente", "usuario",
    "sou", "me chamo", "meu nome e", "nome", "em nome de", "o cliente", "a cliente", "o meu nome e",
)  # fmt: skip

# Words that stand for one another around a value, so that an example in one language teaches the others.
_TWINS: Final = (
    "in at en em near around", "for para por pra", "to into onto a al ao", "by de from of do da",
    "on en em no na",
    "with con com", "as como", "called named titled llamado llamada titulado chamado chamada",
    "i'm soy sou", "add agrega agregar anade adiciona put pon poner", "play pon poner reproduce toca tocar",
    "find look search busca buscar encuentra procura", "give dale ponle rate califica",
)  # fmt: skip
TWINS: Final[dict[str, frozenset[str]]] = {
    word: frozenset(other for line in _TWINS if word in line.split() for other in line.split())
    for words in _TWINS
    for word in words.split()
}

# Groups of words that mean one enum member, whatever the language it is declared in.
SYNONYMS: Final = (
    "small,s,chico,chica,pequeno,pequena", "medium,m,mediano,mediana,medio,media", "large,l,big,grande",
    "red,rojo,roja,vermelho,vermelha", "blue,azul,azules", "green,verde,verdes",
    "black,negro,negra,preto,preta",
    "white,blanco,blanca,branco,branca", "yellow,amarillo,amarilla,amarelo,amarela", "grey,gray,gris,cinza",
    "high,alta,alto,urgent,urgente", "low,baja,bajo,baixa,baixo", "normal,standard,estandar,padrao",
    "cash,efectivo,contado,dinheiro", "card,tarjeta,cartao", "transfer,transferencia", "home,casa,domicilio",
    "pickup,retiro,retirar,retirada", "delivery,envio,entrega", "morning,manana,manha", "afternoon,tarde",
    "night,evening,noche,noite", "spanish,espanol,espanhol,castellano", "english,ingles",
    "portuguese,portugues",
    "male,hombre,masculino,homem", "female,mujer,femenino,feminino,mulher", "open,abierto,aberto",
    "closed,cerrado,fechado", "pending,pendiente,pendente", "express,expreso,expressa", "daily,diario,diaria",
    "weekly,semanal", "monthly,mensual,mensal", "yearly,annual,anual",
)  # fmt: skip
