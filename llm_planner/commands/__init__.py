"""The commands of `llm-planner`, a file a subject."""
