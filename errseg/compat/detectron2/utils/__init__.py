"""Communication, events, logging and environment."""
