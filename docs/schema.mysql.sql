CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE audit_events (
    session_id VARCHAR(36) NOT NULL, 
    seq BIGINT NOT NULL, 
    turn_id VARCHAR(36), 
    at DATETIME(6) NOT NULL, 
    kind VARCHAR(40) NOT NULL, 
    actor VARCHAR(200) NOT NULL, 
    payload MEDIUMTEXT, 
    salt VARCHAR(32), 
    commitment VARCHAR(64) NOT NULL, 
    hash VARCHAR(64) NOT NULL, 
    key_id VARCHAR(16) NOT NULL, 
    PRIMARY KEY (session_id, seq)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_audit_at ON audit_events (at, session_id, seq);

CREATE INDEX ix_audit_turn ON audit_events (turn_id);

CREATE TABLE dedupe_messages (
    session_id VARCHAR(36) NOT NULL, 
    message_id VARCHAR(128) NOT NULL, 
    digest VARCHAR(64) NOT NULL, 
    turn_id VARCHAR(36) NOT NULL, 
    received_at DATETIME(6) NOT NULL, 
    PRIMARY KEY (session_id, message_id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_dedupe_received ON dedupe_messages (received_at);

CREATE TABLE messages (
    session_id VARCHAR(36) NOT NULL, 
    seq BIGINT NOT NULL, 
    `role` VARCHAR(10) NOT NULL, 
    turn_id VARCHAR(36) NOT NULL, 
    kind VARCHAR(10) NOT NULL, 
    text MEDIUMTEXT NOT NULL, 
    from_tools INTEGER NOT NULL, 
    created_at DATETIME(6) NOT NULL, 
    PRIMARY KEY (session_id, seq, `role`)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE model_calls (
    session_id VARCHAR(36) NOT NULL, 
    id VARCHAR(36) NOT NULL, 
    turn_id VARCHAR(36) NOT NULL, 
    purpose VARCHAR(20) NOT NULL, 
    model VARCHAR(128) NOT NULL, 
    prompt VARCHAR(64) NOT NULL, 
    prompt_hash VARCHAR(64) NOT NULL, 
    outcome VARCHAR(40) NOT NULL, 
    attempts INTEGER NOT NULL, 
    input_tokens INTEGER, 
    output_tokens INTEGER, 
    ms INTEGER NOT NULL, 
    at DATETIME(6) NOT NULL, 
    PRIMARY KEY (session_id, id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE outbox (
    session_id VARCHAR(36) NOT NULL, 
    id VARCHAR(36) NOT NULL, 
    turn_id VARCHAR(36), 
    kind VARCHAR(20) NOT NULL, 
    destination VARCHAR(320) NOT NULL, 
    body MEDIUMTEXT NOT NULL, 
    idempotency_key VARCHAR(128) NOT NULL, 
    state VARCHAR(20) NOT NULL, 
    attempts INTEGER NOT NULL, 
    due_at DATETIME(6) NOT NULL, 
    error TEXT, 
    created_at DATETIME(6) NOT NULL, 
    finished_at DATETIME(6), 
    PRIMARY KEY (session_id, id), 
    CONSTRAINT uq_outbox_key UNIQUE (session_id, idempotency_key)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_outbox_created ON outbox (created_at, id);

CREATE INDEX ix_outbox_due ON outbox (state, due_at);

CREATE TABLE pending_confirmations (
    session_id VARCHAR(36) NOT NULL, 
    id VARCHAR(36) NOT NULL, 
    turn_id VARCHAR(36) NOT NULL, 
    home_turn_id VARCHAR(36) NOT NULL, 
    round INTEGER NOT NULL, 
    step VARCHAR(64) NOT NULL, 
    edition INTEGER NOT NULL, 
    tool VARCHAR(128) NOT NULL, 
    summary TEXT NOT NULL, 
    args MEDIUMTEXT NOT NULL, 
    origins MEDIUMTEXT NOT NULL, 
    schema_hash VARCHAR(64) NOT NULL, 
    digest VARCHAR(64) NOT NULL, 
    approver VARCHAR(64) NOT NULL, 
    state VARCHAR(20) NOT NULL, 
    expires_at DATETIME(6) NOT NULL, 
    created_at DATETIME(6) NOT NULL, 
    decided_at DATETIME(6), 
    decided_by VARCHAR(200), 
    edited_by VARCHAR(200), 
    reason TEXT, 
    decided_turn_id VARCHAR(36), 
    PRIMARY KEY (session_id, id), 
    CONSTRAINT uq_confirmations_step UNIQUE (session_id, home_turn_id, round, step, edition)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_confirmations_id ON pending_confirmations (id);

CREATE INDEX ix_confirmations_state ON pending_confirmations (state, expires_at);

CREATE INDEX ix_confirmations_turn ON pending_confirmations (session_id, turn_id);

CREATE TABLE sessions (
    id VARCHAR(36) NOT NULL, 
    key_hash VARCHAR(64) NOT NULL, 
    channel VARCHAR(32) NOT NULL, 
    account VARCHAR(128) NOT NULL, 
    principal VARCHAR(200) NOT NULL, 
    label VARCHAR(128) NOT NULL, 
    locale VARCHAR(35) NOT NULL, 
    epoch BIGINT NOT NULL, 
    lease_until DATETIME(6), 
    next_seq BIGINT NOT NULL, 
    open_turns INTEGER NOT NULL, 
    facts MEDIUMTEXT NOT NULL, 
    audit_seq BIGINT NOT NULL, 
    audit_head VARCHAR(64) NOT NULL, 
    token_tries INTEGER NOT NULL, 
    locked_until DATETIME(6), 
    parked_until DATETIME(6), 
    created_at DATETIME(6) NOT NULL, 
    PRIMARY KEY (id), 
    CONSTRAINT uq_sessions_key_hash UNIQUE (key_hash)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_sessions_created ON sessions (created_at, id);

CREATE INDEX ix_sessions_open ON sessions (open_turns, lease_until);

CREATE TABLE tool_runs (
    session_id VARCHAR(36) NOT NULL, 
    id VARCHAR(36) NOT NULL, 
    turn_id VARCHAR(36) NOT NULL, 
    confirmation_id VARCHAR(36) NOT NULL, 
    tool VARCHAR(128) NOT NULL, 
    idempotency_key VARCHAR(64) NOT NULL, 
    state VARCHAR(20) NOT NULL, 
    deadline_at DATETIME(6) NOT NULL, 
    started_at DATETIME(6) NOT NULL, 
    finished_at DATETIME(6), 
    result MEDIUMTEXT, 
    error TEXT, 
    PRIMARY KEY (session_id, id), 
    CONSTRAINT uq_tool_runs_confirmation UNIQUE (session_id, confirmation_id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_tool_runs_state ON tool_runs (state, deadline_at);

CREATE TABLE turns (
    session_id VARCHAR(36) NOT NULL, 
    id VARCHAR(36) NOT NULL, 
    seq BIGINT NOT NULL, 
    message_id VARCHAR(128) NOT NULL, 
    inbound MEDIUMTEXT NOT NULL, 
    state VARCHAR(20) NOT NULL, 
    epoch BIGINT NOT NULL, 
    attempts INTEGER NOT NULL, 
    rounds MEDIUMTEXT NOT NULL, 
    status VARCHAR(20), 
    code VARCHAR(64), 
    reply MEDIUMTEXT, 
    created_at DATETIME(6) NOT NULL, 
    finished_at DATETIME(6), 
    PRIMARY KEY (session_id, id), 
    CONSTRAINT uq_turns_seq UNIQUE (session_id, seq)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_turns_id ON turns (id);

CREATE INDEX ix_turns_state ON turns (state, created_at);

CREATE TABLE usage_counters (
    scope VARCHAR(255) NOT NULL, 
    day VARCHAR(10) NOT NULL, 
    calls BIGINT NOT NULL, 
    tokens BIGINT NOT NULL, 
    PRIMARY KEY (scope, day)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_usage_day ON usage_counters (day);

INSERT INTO alembic_version (version_num) VALUES ('0001');

-- Running upgrade 0001 -> 0002

CREATE TABLE outbox_receipts (
    provider VARCHAR(20) NOT NULL, 
    reference VARCHAR(255) NOT NULL, 
    session_id VARCHAR(36), 
    outbox_id VARCHAR(36), 
    status VARCHAR(20) NOT NULL, 
    code VARCHAR(64), 
    at DATETIME(6) NOT NULL, 
    PRIMARY KEY (provider, reference)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_receipts_outbox ON outbox_receipts (session_id, outbox_id);

CREATE INDEX ix_receipts_at ON outbox_receipts (at);

UPDATE alembic_version SET version_num='0002' WHERE alembic_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

ALTER TABLE tool_runs ADD COLUMN settled_by VARCHAR(200);

ALTER TABLE tool_runs ADD COLUMN reason TEXT;

ALTER TABLE tool_runs ADD COLUMN settled_turn_id VARCHAR(36);

CREATE INDEX ix_tool_runs_id ON tool_runs (id);

UPDATE alembic_version SET version_num='0003' WHERE alembic_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

CREATE TABLE operators (
    name VARCHAR(64) NOT NULL, 
    person VARCHAR(64) NOT NULL, 
    `role` VARCHAR(64) NOT NULL, 
    password VARCHAR(255) NOT NULL, 
    created_at DATETIME(6) NOT NULL, 
    created_by VARCHAR(64) NOT NULL, 
    disabled_at DATETIME(6), 
    PRIMARY KEY (name)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE console_logins (
    id VARCHAR(64) NOT NULL, 
    operator VARCHAR(64) NOT NULL, 
    credential VARCHAR(64) NOT NULL, 
    created_at DATETIME(6) NOT NULL, 
    expires_at DATETIME(6) NOT NULL, 
    PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE api_keys (
    id VARCHAR(36) NOT NULL, 
    name VARCHAR(64) NOT NULL, 
    `role` VARCHAR(64) NOT NULL, 
    scopes VARCHAR(128) NOT NULL, 
    secret VARCHAR(64) NOT NULL, 
    created_at DATETIME(6) NOT NULL, 
    expires_at DATETIME(6), 
    disabled_at DATETIME(6), 
    PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE model_prompts (
    session_id VARCHAR(36) NOT NULL, 
    id VARCHAR(36) NOT NULL, 
    `system` VARCHAR(64), 
    messages MEDIUMTEXT NOT NULL, 
    at DATETIME(6) NOT NULL, 
    PRIMARY KEY (session_id, id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE prompt_texts (
    hash VARCHAR(64) NOT NULL, 
    text MEDIUMTEXT NOT NULL, 
    PRIMARY KEY (hash)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE sessions ADD COLUMN handed_to VARCHAR(64);

CREATE INDEX ix_operators_person ON operators (person);

CREATE INDEX ix_logins_operator ON console_logins (operator);

CREATE INDEX ix_logins_expires ON console_logins (expires_at);

CREATE INDEX ix_prompts_at ON model_prompts (at);

CREATE INDEX ix_sessions_principal ON sessions (principal, id);

CREATE INDEX ix_sessions_label ON sessions (label, id);

CREATE INDEX ix_confirmations_state_id ON pending_confirmations (state, id);

CREATE INDEX ix_confirmations_approver ON pending_confirmations (approver, state, id);

CREATE INDEX ix_outbox_id ON outbox (id);

CREATE INDEX ix_outbox_state ON outbox (state, id);

CREATE INDEX ix_tool_runs_state_id ON tool_runs (state, id);

CREATE INDEX ix_model_calls_turn ON model_calls (turn_id);

CREATE INDEX ix_model_calls_at ON model_calls (at, outcome, ms, input_tokens, output_tokens);

CREATE INDEX ix_audit_kind ON audit_events (kind, at, session_id, seq);

CREATE INDEX ix_audit_actor ON audit_events (actor, at, session_id, seq);

UPDATE alembic_version SET version_num='0004' WHERE alembic_version.version_num = '0003';

-- Running upgrade 0004 -> 0005

CREATE TABLE heartbeats (
    process VARCHAR(36) NOT NULL, 
    at DATETIME(6) NOT NULL, 
    PRIMARY KEY (process)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

UPDATE alembic_version SET version_num='0005' WHERE alembic_version.version_num = '0004';

-- Running upgrade 0005 -> 0006

ALTER TABLE sessions ADD COLUMN hold_until DATETIME(6);

UPDATE alembic_version SET version_num='0006' WHERE alembic_version.version_num = '0005';


CREATE TABLE alembic_version_app (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_app_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

CREATE TABLE customers (
    email VARCHAR(254) NOT NULL, 
    name VARCHAR(200) NOT NULL, 
    registered_by VARCHAR(64) NOT NULL, 
    verified_at DATETIME(6), 
    created_at DATETIME(6) NOT NULL, 
    PRIMARY KEY (email)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE email_verifications (
    id VARCHAR(36) NOT NULL, 
    email VARCHAR(254) NOT NULL, 
    code_salt VARCHAR(32) NOT NULL, 
    code_hash VARCHAR(64) NOT NULL, 
    attempts INTEGER NOT NULL, 
    expires_at DATETIME(6) NOT NULL, 
    used_at DATETIME(6), 
    created_at DATETIME(6) NOT NULL, 
    PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;

CREATE INDEX ix_email_verifications_email ON email_verifications (email, created_at);

INSERT INTO alembic_version_app (version_num) VALUES ('0001');


