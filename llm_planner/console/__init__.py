"""The web console: pages for those who look after the agent, made by the server."""
