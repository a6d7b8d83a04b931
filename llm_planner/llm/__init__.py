"""Language models behind one protocol: chat clients, the schemas they are sent, the JSON they send back."""
