"""What the deliveries page says."""

TEXTS = {
    "title": ("Entregas", "Deliveries", "Entregas"),
    "lead": (
        "Respuestas y correos: qué salió, qué espera, qué no llegó.",
        "Replies and letters: what left, what waits, what did not arrive.",
        "Respostas e e-mails: o que saiu, o que espera, o que não chegou.",
    ),
    "mailbox": (
        "No hay SMTP_URL: los correos esperan acá y se pueden leer, como en una casilla local.",
        "There is no SMTP_URL: letters wait here and can be read, as in a local mailbox.",
        "Não há SMTP_URL: os e-mails esperam aqui e podem ser lidos, como numa caixa local.",
    ),
    "kind.mail": ("correo", "letter", "e-mail"),
    "kind.reply": ("respuesta", "reply", "resposta"),
    "to": ("Para", "To", "Para"),
    "subject": ("Asunto", "Subject", "Assunto"),
    "text": ("Texto", "Text", "Texto"),
    "hidden": (
        "El texto de un correo no se muestra: puede llevar un código que prueba quién es alguien.",
        "The text of a letter is not shown: it may hold a code that proves who somebody is.",
        "O texto de um e-mail não é mostrado: pode ter um código que prova quem alguém é.",
    ),
    "attempts": ("Intentos", "Attempts", "Tentativas"),
    "due": ("Próximo intento", "Next attempt", "Próxima tentativa"),
    "created": ("Creada", "Created", "Criada"),
    "finished": ("Terminó", "Ended", "Terminou"),
    "retry": ("Reintentar", "Try again", "Tentar de novo"),
    "retry.lead": (
        "Vuelve a la cola y sale enseguida.",
        "Back into the queue, to leave at once.",
        "Volta à fila e sai na hora.",
    ),
    "retry.twice": (
        "Puede haber llegado ya: si reintentás, puede llegar dos veces.",
        "It may have arrived: if you try again, it may arrive twice.",
        "Pode ter chegado: se tentar de novo, pode chegar duas vezes.",
    ),
    "settle": ("Marcar como resuelta", "Mark as settled", "Marcar como resolvida"),
    "settle.lead": (
        "Si averiguaste qué pasó, dejalo escrito.",
        "If you found out what happened, write it down.",
        "Se você descobriu o que aconteceu, registre.",
    ),
    "arrived": ("Llegó", "It arrived", "Chegou"),
    "lost": ("No llegó", "It did not arrive", "Não chegou"),
    "said.retry": ("En cola de nuevo.", "Queued again.", "Na fila de novo."),
    "said.settle": ("Anotado.", "Written down.", "Anotado."),
}
