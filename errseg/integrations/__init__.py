"""errseg in other programs. Each module needs the program that it is named after; nothing else imports it."""
