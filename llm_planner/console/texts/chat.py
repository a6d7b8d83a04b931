"""What the chat says."""

TEXTS = {
    "title": ("Chat", "Chat", "Chat"),
    "lead": (
        "Hablá con el agente como una persona más, y mirá cada turno por dentro.",
        "Talk to the agent like any user, and see each turn from inside.",
        "Fale com o agente como qualquer pessoa, e veja cada turno por dentro.",
    ),
    "message": ("Mensaje", "Message", "Mensagem"),
    "send": ("Enviar", "Send", "Enviar"),
    "hint": (
        "Enter envía; Mayús+Enter hace otra línea.",
        "Enter sends; Shift+Enter makes a new line.",
        "Enter envia; Shift+Enter faz outra linha.",
    ),
    "locale": ("Idioma de la conversación", "Language of the conversation", "Idioma da conversa"),
    "fresh": ("Conversación nueva", "New conversation", "Nova conversa"),
    "earlier": ("Tus conversaciones", "Your conversations", "Suas conversas"),
    "empty": (
        "Escribí algo para empezar. Lo que lea se hace enseguida; lo que escriba te va a pedir confirmación.",
        "Write something to begin. What only reads is done at once; what writes will ask you first.",
        "Escreva algo para começar. O que só lê é feito na hora; o que escreve vai pedir confirmação.",
    ),
    "confirm": ("Confirmar", "Confirm", "Confirmar"),
    "cancel": ("Descartar", "Discard", "Descartar"),
    "card": ("Necesita tu confirmación", "Needs your confirmation", "Precisa da sua confirmação"),
    "inside": ("El turno por dentro", "The turn from inside", "O turno por dentro"),
    "inside.none": (
        "Acá vas a ver el plan, los pasos y la auditoría de cada turno.",
        "Here you will see the plan, the steps and the audit of each turn.",
        "Aqui você verá o plano, os passos e a auditoria de cada turno.",
    ),
    "working": ("Trabajando…", "Working…", "Trabalhando…"),
    "stage.plan": ("Planificando…", "Planning…", "Planejando…"),
    "stage.execute": ("Haciendo los pasos…", "Doing the steps…", "Executando os passos…"),
    "stage.answer": ("Escribiendo la respuesta…", "Writing the reply…", "Escrevendo a resposta…"),
    "failed": (
        "Se cortó la conexión; el mensaje quedó guardado. Cargá la página de nuevo.",
        "The connection broke; the message is stored. Load the page again.",
        "A conexão caiu; a mensagem ficou guardada. Carregue a página de novo.",
    ),
}
