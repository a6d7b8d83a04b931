"""Every query of the core, a file a subject. Functions take a connection and are called inside a transaction."""
