"""What the page of writes in doubt says."""

TEXTS = {
    "title": ("Escrituras en duda", "Writes in doubt", "Escritas em dúvida"),
    "lead": (
        "Se llamó a una herramienta y no se sabe si llegó a hacerse. Nada se repite a ciegas: averiguá y anotalo.",
        "A tool was called and nobody knows whether it went through. Nothing is repeated blindly: find out.",
        "Uma ferramenta foi chamada e não se sabe se foi feito. Nada se repete às cegas: descubra e registre.",
    ),
    "unknown": ("En duda", "In doubt", "Em dúvida"),
    "journal": ("Todo el diario", "The whole journal", "Todo o diário"),
    "known": ("Lo que se sabe", "What is known", "O que se sabe"),
    "started": ("Se llamó", "Called", "Chamada"),
    "deadline": ("Su tiempo terminó", "Its time was over", "Seu tempo acabou"),
    "key": ("Clave con que se llamó", "Key it was called with", "Chave com que foi chamada"),
    "key.lead": (
        "Buscala en el sistema de destino: es única de esta llamada.",
        "Look for it in the other system: it belongs to this call alone.",
        "Procure-a no outro sistema: é só desta chamada.",
    ),
    "confirmed": ("Confirmada por", "Confirmed by", "Confirmada por"),
    "reconciles": (
        "La herramienta sabe averiguarlo y no pudo.",
        "The tool can find out by itself, and could not.",
        "A ferramenta sabe descobrir sozinha, e não conseguiu.",
    ),
    "running": (
        "La llamada puede estar corriendo todavía; esperá a que termine su tiempo.",
        "The call may still be running; wait until its time is over.",
        "A chamada pode ainda estar em curso; espere seu tempo acabar.",
    ),
    "settle": ("¿Qué averiguaste?", "What did you find out?", "O que você descobriu?"),
    "settle.reason": ("Cómo lo sabés", "How you know", "Como você sabe"),
    "done": ("Se hizo", "It was done", "Foi feito"),
    "not_done": ("No se hizo", "It was not done", "Não foi feito"),
    "settled": ("Resuelta por {who}", "Settled by {who}", "Resolvida por {who}"),
    "said": (
        "Anotado; se le avisó a la persona.",
        "Written down; the user was told.",
        "Anotado; a pessoa foi avisada.",
    ),
}
