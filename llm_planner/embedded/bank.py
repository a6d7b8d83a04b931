"""Owns the lines that no tool answers: small talk and out-of-scope requests in es, en and pt.

They are the class "no tool" of the retrieval. The topic of the nearest line picks the template of the reply.
"""

from typing import Final, Literal

Topic = Literal[
    "greeting", "wellbeing", "thanks", "goodbye", "acknowledge", "decline", "identity", "abilities",
    "upset", "kind",
    "laugh", "other",
]  # fmt: skip

BANK: Final[dict[Topic, tuple[str, ...]]] = {
    "greeting": (
        "hola", "buenas", "buen día", "buenas tardes", "buenas noches", "hola, buenos días", "qué tal",
        "hello", "hi there", "hey", "good morning", "good evening", "nice to meet you", "good to talk to you",
        "olá", "oi", "bom dia", "boa tarde", "boa noite",
    ),
    "wellbeing": (
        "¿cómo estás?", "¿cómo andás?", "¿todo bien?", "how are you?", "how is it going today?",
        "how do you feel?", "como você está?", "tudo bem?",
    ),
    "thanks": (
        "gracias", "muchas gracias por tu ayuda", "mil gracias, muy amable", "thanks", "thank you very much",
        "thanks for the answer, that helped", "obrigado", "muito obrigada pela ajuda", "valeu",
    ),
    "goodbye": (
        "chau", "adiós", "hasta luego", "hasta mañana, que estés bien", "bye", "goodbye", "see you later",
        "it was nice talking to you, bye", "have a nice day", "tchau", "até logo",
    ),
    "acknowledge": (
        "ok", "dale, perfecto", "listo, entendido", "sí", "de acuerdo", "ok, got it", "yes",
        "sure, sounds great",
        "perfect", "sim", "tudo certo", "beleza",
    ),
    "decline": (
        "no", "no, nada más", "no hace falta", "eso era todo", "no thanks", "that is all", "nothing else",
        "never mind", "não, só isso", "não precisa",
    ),
    "identity": (
        "¿quién sos?", "¿cómo te llamás?", "¿sos una persona o un robot?", "¿cuántos años tenés?",
        "who are you?", "what is your name?", "are you a human or a bot?", "who made you?",
        "how old are you?",
        "where are you from?", "do you have a family or a pet?", "what is your favourite food?",
        "quem é você?", "qual é o seu nome?", "você é um robô?",
    ),
    "abilities": (
        "¿qué podés hacer?", "¿en qué me podés ayudar?", "¿qué sabés hacer?", "ayuda", "ayudame",
        "what can you do?", "how can you help me?", "what are you able to do?", "help",
        "o que você faz?", "como você pode me ajudar?", "ajuda",
    ),
    "upset": (
        "no entiendo nada", "no servís para nada", "sos un inútil", "qué mal que andás", "this is terrible",
        "you don't understand me", "you are dumb", "you are not helping", "não entendi nada", "você é burro",
    ),
    "kind": (
        "sos un genio", "te amo", "me caés muy bien", "you are great", "I love you", "you are so funny",
        "você é demais", "te adoro",
    ),
    "laugh": ("jaja", "jajajaja", "haha", "lol", "kkkk"),
    "other": (
        # knowledge
        "¿cuál es la capital de Francia?", "¿quién ganó el mundial?", "¿quién inventó el teléfono?",
        "contame algo sobre la historia de Roma", "what is the highest mountain in the world?",
        "who wrote Romeo and Juliet?", "who is the king of Spain?", "tell me about the second world war",
        "how far away is the moon?", "which river is the longest in Africa?", "explain how black holes work",
        "what is the population of China?", "do people still speak Latin?", "tell me a fun fact about space",
        "qual é a capital do Brasil?", "quem descobriu a América?", "what is the meaning of life?",
        "who won the game last night?", "what is on the news today?", "qué opinás de la política?",
        # writing, sums and school
        "escribí un poema de amor", "write an essay about climate change", "resolvé esta ecuación",
        "what is 12 times 7?", "help me with my homework", "escribe un programa en python",
        "fix this bug in my code",
        "traducí esta frase al inglés", "translate this sentence", "escreva uma carta para mim",
        # health and life
        "me duele la panza, ¿qué tomo?", "I have a headache", "mi gato está enfermo",
        "how can I lose weight?",
        "estoy triste", "I am bored", "what should I wear tonight?", "give me advice about my relationship",
        "how should I name my baby?", "how do I get promoted at work?", "how can I become a better manager?",
        "estou com dor de garganta",
        # the house, the car, animals, cooking
        "how do I repair a leaking tap?", "¿cómo arreglo el motor del auto?",
        "how do I decorate a small bedroom?",
        "dame una receta de pan", "how long do I boil an egg?", "how do I train my dog?",
        "what should I do if I meet a snake?", "how do I clean a carpet?", "como faço para plantar tomate?",
        # going out, work and studies
        "recomendame una película", "recommend a good book", "find me a job nearby",
        "which university should I choose?",
        "who gives guitar lessons around here?", "what are the lyrics of that song?", "plan a trip to Italy",
        "book me a flight to Madrid", "where can I print photos?", "rent a car for the weekend",
        "where can I find the cheapest tickets online?", "recomienda un hotel en Cancún",
        # the telephone, the computer, money, home devices
        "edit the colours of my picture", "sort my files by date", "does my phone work in Asia?",
        "change my mobile data plan", "call my mother", "send a text message to John",
        "set an alarm for seven",
        "remind me to call the dentist", "turn off the lights", "stream the football match on my TV",
        "poné música",
        "play a song", "tell me a joke", "contame un chiste", "what is the weather like?",
        "¿va a llover mañana?",
        "¿qué hora es?", "how is the stock market doing?", "should I invest in gold?",
        "¿a cuánto está el dólar?", "pay my electricity bill", "what is my bank balance?", "vai chover hoje?",
    ),
}  # fmt: skip
