"""The texts of the core: for each key Spanish (voseo), English and Portuguese."""

from typing import Final

LANGUAGES: Final = ("es", "en", "pt")

_TEXTS: Final[dict[str, tuple[str, str, str]]] = {
    "card_asks": ("Necesito tu confirmación", "I need your confirmation", "Preciso da sua confirmação"),
    "card_confirm": (
        "Para hacerlo, respondé: confirmar {token}",
        "To do it, reply: confirm {token}",
        "Para fazer, responda: confirmar {token}",
    ),
    "card_cancel": (
        "Para descartarlo, respondé: cancelar {token}",
        "To discard it, reply: cancel {token}",
        "Para descartar, responda: cancelar {token}",
    ),
    "card_expires": ("Vence: {when}", "Expires: {when}", "Vence: {when}"),
    "card_decides": (
        "Lo decide otra persona con el rol «{role}»; te aviso cuando responda.",
        "A person with the role “{role}” decides; you will be told.",
        "Quem decide é uma pessoa com a função «{role}»; você será avisado.",
    ),
    "card_from_tool": (
        "atención: este valor no lo escribiste vos, salió de una herramienta",
        "note: you did not write this value, it came from a tool",
        "atenção: você não escreveu este valor, ele veio de uma ferramenta",
    ),
    "button_confirm": ("Confirmar", "Confirm", "Confirmar"),
    "button_cancel": ("Cancelar", "Cancel", "Cancelar"),
    "card_from_others": (
        "atención: este valor no lo escribiste vos, salió de una herramienta o de un texto ajeno",
        "note: you did not write this value, it came from a tool or from somebody else's text",
        "atenção: você não escreveu este valor, ele veio de uma ferramenta ou de um texto de outra pessoa",
    ),
    "card_from_plan": (
        "esto no lo dijiste: se completó por vos",
        "you did not say this: it was filled in for you",
        "você não disse isto: foi preenchido por você",
    ),
    "card_from_operator": (
        "lo cambió una persona del equipo",
        "a member of the staff changed this",
        "alterado por uma pessoa da equipe",
    ),
    "card_not_live": ("(ya no vale)", "(no longer valid)", "(já não vale)"),
    "card_no_arguments": ("(sin datos)", "(no arguments)", "(sem dados)"),
    "still_pending": (
        "Hay operaciones tuyas sin confirmar. Escribí «pendientes» para verlas.",
        "Some of your operations still wait. Write “pending” to see them.",
        "Há operações suas sem confirmar. Escreva «pendentes» para vê-las.",
    ),
    "nothing_pending": (
        "No hay nada pendiente de confirmación.",
        "Nothing waits for your confirmation.",
        "Não há nada pendente de confirmação.",
    ),
    "token_unknown": (
        "Ese código no corresponde a ninguna operación pendiente tuya. No hice nada. "
        "Escribí «pendientes» para ver qué espera confirmación.",
        "That code belongs to none of your pending operations. Nothing was done. "
        "Write “pending” to see what waits for you.",
        "Esse código não corresponde a nenhuma operação pendente sua. Nada foi feito. "
        "Escreva «pendentes» para ver o que espera confirmação.",
    ),
    "token_expired": (
        "Ese código venció. No hice nada; si todavía lo querés, pedímelo de nuevo.",
        "That code has expired. Nothing was done; ask again if you still want it.",
        "Esse código venceu. Nada foi feito; se ainda quiser, peça de novo.",
    ),
    "token_used": (
        "Ese código ya se usó o la operación ya se resolvió. No hice nada nuevo.",
        "That code was used already, or the operation was decided. Nothing new was done.",
        "Esse código já foi usado, ou a operação já foi resolvida. Nada novo foi feito.",
    ),
    "token_locked": (
        "Demasiados códigos equivocados. Esperá unos minutos y pedí la operación de nuevo.",
        "Too many wrong codes. Wait a few minutes and ask for the operation again.",
        "Códigos errados demais. Espere alguns minutos e peça a operação de novo.",
    ),
    "cancelled": ("Listo, cancelado: {what}.", "Done, cancelled: {what}.", "Pronto, cancelado: {what}."),
    "too_late": (
        "Ya es tarde para cancelar eso: {what}.",
        "It is too late to cancel that: {what}.",
        "Já é tarde para cancelar isso: {what}.",
    ),
    "done": ("Listo: {what}.", "Done: {what}.", "Pronto: {what}."),
    "write_failed": (
        "No se pudo hacer «{what}»: {why}. No se hizo nada.",
        "“{what}” could not be done: {why}. Nothing was done.",
        "Não foi possível fazer «{what}»: {why}. Nada foi feito.",
    ),
    "write_unknown": (
        "No sé si «{what}» llegó a hacerse: se cortó mientras corría. No lo repito por mi cuenta; "
        "una persona lo va a revisar.",
        "I don't know whether “{what}” went through: it was cut off while running. I won't repeat it by "
        "myself; a person will look into it.",
        "Não sei se «{what}» chegou a ser feito: foi interrompido durante a execução. Não vou repetir por conta "
        "própria; uma pessoa vai verificar.",
    ),
    "step_failed": (
        "No pude completar «{what}»: {why}.",
        "I could not complete “{what}”: {why}.",
        "Não consegui concluir «{what}»: {why}.",
    ),
    "step_error": ("falló la herramienta", "the tool failed", "a ferramenta falhou"),
    "step_timeout": ("tardó demasiado", "it took too long", "demorou demais"),
    "step_rate_limited": (
        "ya se usó demasiadas veces en este minuto; probá en un rato",
        "it was used too often this minute; try again in a while",
        "já foi usada vezes demais neste minuto; tente daqui a pouco",
    ),
    "step_skipped": (
        "depende de un paso que no salió",
        "it depends on a step that did not work",
        "depende de um passo que não funcionou",
    ),
    "step_blocked": (
        "Después sigue: «{what}».",
        "Afterwards: “{what}”.",
        "Depois segue: «{what}».",
    ),
    "no_plan": (
        "Perdón, no pude preparar un plan para eso. No hice nada. ¿Me lo decís de otra manera?",
        "Sorry, I could not prepare a plan for that. Nothing was done. Could you put it another way?",
        "Desculpe, não consegui preparar um plano para isso. Nada foi feito. Pode dizer de outra forma?",
    ),
    "model_away": (
        "Perdón, ahora no puedo pensar una respuesta: el modelo no contesta. No hice nada; probá en un rato.",
        "Sorry, I can't think of an answer now: the model does not respond. Nothing was done; try again later.",
        "Desculpe, agora não consigo pensar numa resposta: o modelo não responde. Nada foi feito; tente mais tarde.",
    ),
    "over_budget": (
        "Se alcanzó el límite de uso por hoy. No hice nada; probá mañana o hablá con quien administra el servicio.",
        "Today's usage limit is reached. Nothing was done; try tomorrow or talk to whoever runs this service.",
        "O limite de uso de hoje foi atingido. Nada foi feito; tente amanhã ou fale com quem administra o serviço.",
    ),
    "too_many_messages": (
        "Me llegaron demasiados mensajes juntos y no pude con este. No hice nada; mandámelo de nuevo en un rato.",
        "Too many messages came at once and this one was too much. Nothing was done; send it again in a while.",
        "Chegaram mensagens demais de uma vez, e esta não coube. Nada foi feito; envie de novo daqui a pouco.",
    ),
    "too_many_pending": (
        "Ya hay demasiadas operaciones esperando confirmación. Confirmá o cancelá alguna y pedímelo de nuevo.",
        "Too many operations wait for confirmation already. Confirm or cancel some and ask again.",
        "Já há operações demais esperando confirmação. Confirme ou cancele alguma e peça de novo.",
    ),
    "too_long_to_show": (
        "No puedo pedirte confirmación para «{what}»: los datos son demasiado largos para mostrarlos enteros. "
        "No hice nada.",
        "I can't ask you to confirm “{what}”: the arguments are too long to be shown whole. Nothing was done.",
        "Não posso pedir confirmação para «{what}»: os dados são longos demais para mostrar por inteiro. "
        "Nada foi feito.",
    ),
    "tainted": (
        "No hago «{what}»: algunos datos no los escribiste vos, salieron de una herramienta. No hice nada.",
        "I won't do “{what}”: some of its values are not yours, they came from a tool. Nothing was done.",
        "Não faço «{what}»: alguns dados não são seus, vieram de uma ferramenta. Nada foi feito.",
    ),
    "stopped": (
        "No pude seguir: {why}. Hasta acá llegué.",
        "I could not go on: {why}. This is as far as I got.",
        "Não consegui continuar: {why}. Cheguei até aqui.",
    ),
    "why_no_plan": (
        "no encontré cómo",
        "I found no way to",
        "não encontrei como",
    ),
    "why_model_away": (
        "el modelo no contesta",
        "the model does not respond",
        "o modelo não responde",
    ),
    "why_over_budget": (
        "se alcanzó el límite de uso por hoy",
        "today's usage limit is reached",
        "o limite de uso de hoje foi atingido",
    ),
    "why_turn_time": (
        "se acabó el tiempo para este mensaje",
        "the time for this message is over",
        "acabou o tempo para esta mensagem",
    ),
    "why_turn_bytes": (
        "los resultados de este mensaje son demasiado grandes",
        "the results of this message are too large",
        "os resultados desta mensagem são grandes demais",
    ),
    "gave_up": (
        "Perdón, no pude terminar de atender este mensaje después de varios intentos. "
        "Si había una operación en curso, una persona la va a revisar.",
        "Sorry, I could not finish this message after several attempts. "
        "If an operation was under way, a person will look into it.",
        "Desculpe, não consegui terminar esta mensagem depois de várias tentativas. "
        "Se havia uma operação em curso, uma pessoa vai verificar.",
    ),
    "nothing_to_say": (
        "No encontré nada para decirte sobre eso.",
        "I found nothing to tell you about that.",
        "Não encontrei nada para dizer sobre isso.",
    ),
    "yes": ("sí", "yes", "sim"),
    "no": ("no", "no", "não"),
    "none_found": ("sin resultados", "no results", "sem resultados"),
    "operator_rejected": (
        "Una persona revisó «{what}» y dijo que no{why}.",
        "A person looked at “{what}” and said no{why}.",
        "Uma pessoa analisou «{what}» e disse que não{why}.",
    ),
    "operator_edited": (
        "Una persona corrigió «{what}». Así quedaría:",
        "A person edited “{what}”. It would now be:",
        "Uma pessoa corrigiu «{what}». Ficaria assim:",
    ),
    "forgotten": (
        "Ese mensaje ya fue atendido; su respuesta ya no se guarda.",
        "That message was answered; its reply is no longer kept.",
        "Essa mensagem já foi atendida; a resposta não é mais guardada.",
    ),
    "settled_done": (
        "Una persona revisó «{what}»: sí se hizo.",
        "A person looked into “{what}”: it was done.",
        "Uma pessoa verificou «{what}»: foi feito.",
    ),
    "settled_not_done": (
        "Una persona revisó «{what}»: no se hizo. Si todavía lo querés, pedímelo de nuevo.",
        "A person looked into “{what}”: it was not done. Ask again if you still want it.",
        "Uma pessoa verificou «{what}»: não foi feito. Se ainda quiser, peça de novo.",
    ),
    "settled_step": (
        "una persona comprobó que no se hizo",
        "a person found that it was not done",
        "uma pessoa verificou que não foi feito",
    ),
    "handed_over": (
        "Una persona sigue esta conversación y te va a responder por acá.",
        "A person has taken over this conversation and will answer here.",
        "Uma pessoa assumiu esta conversa e vai responder por aqui.",
    ),
    "decision_stale": (
        "Esa operación ya estaba resuelta o cambió.",
        "That operation was decided already, or it changed.",
        "Essa operação já estava resolvida ou mudou.",
    ),
}


def language(locale: str) -> str:
    """The language of a locale tag (RFC 5646) among ours: `es-AR` is `es`; an unknown one is English."""
    primary = locale.replace("_", "-").partition("-")[0].lower()
    return primary if primary in LANGUAGES else "en"


def text(key: str, locale: str, **values: str) -> str:
    """The text of `key` in the locale's language, with its values filled in."""
    return _TEXTS[key][LANGUAGES.index(language(locale))].format(**values)


def keys() -> tuple[str, ...]:
    return tuple(_TEXTS)
