"""Your part: the tools and the prompts."""
