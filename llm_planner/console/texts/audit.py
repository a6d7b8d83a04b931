"""What the audit page says."""

TEXTS = {
    "title": ("Auditoría", "Audit", "Auditoria"),
    "lead": (
        "Cada cosa que pasó, encadenada: nada se puede cambiar sin que se note.",
        "Everything that happened, chained: nothing can be changed unnoticed.",
        "Tudo o que aconteceu, encadeado: nada pode ser mudado sem que se perceba.",
    ),
    "kind": ("Qué pasó", "What happened", "O que aconteceu"),
    "actor": ("Quién", "Who", "Quem"),
    "until": ("Hasta el día", "Until the day", "Até o dia"),
    "payload": ("Detalle", "Details", "Detalhes"),
    "erased": ("(borrado)", "(erased)", "(apagado)"),
    "follow": ("Seguir este mensaje", "Follow this message", "Seguir esta mensagem"),
    "verify": ("Verificar la cadena", "Verify the chain", "Verificar a cadeia"),
    "verify.lead": (
        "Recorre cada fila y comprueba que ninguna se cambió, sacó o agregó.",
        "Goes through every row and checks that none was changed, taken out or put in.",
        "Percorre cada linha e confere que nenhuma foi mudada, tirada ou posta.",
    ),
    "verify.all": ("Verificar todas las cadenas", "Verify all chains", "Verificar todas as cadeias"),
    "verify.one": ("Verificar solo esta sesión", "Verify this session only", "Verificar só esta sessão"),
    "verifying": (
        "{done} cadenas verificadas, sigue…",
        "{done} chains verified, going on…",
        "{done} cadeias verificadas, continua…",
    ),
    "verify.go": ("Seguir", "Go on", "Continuar"),
    "intact": (
        "{done} cadenas verificadas: intactas.",
        "{done} chains verified: intact.",
        "{done} cadeias verificadas: intactas.",
    ),
    "broken": (
        "Cadena rota en la sesión {session}, fila {seq}: {reason}",
        "Broken chain in session {session}, row {seq}: {reason}",
        "Cadeia quebrada na sessão {session}, linha {seq}: {reason}",
    ),
    "export": ("Descargar (JSONL)", "Download (JSONL)", "Baixar (JSONL)"),
}
