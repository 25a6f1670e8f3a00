#!/usr/bin/python3
"""What other relays answer POST /new with: a CGI program that invents a name and a password. Run by nginx through
fcgiwrap, for test/bench/new.ts. It stores nothing, which favours it."""
import json
import secrets
import string

LETTERS = string.ascii_lowercase + string.digits
name = "".join(secrets.choice(LETTERS) for _ in range(9))
body = json.dumps(
    {"email": f"{name}@chat.example.org", "password": secrets.token_urlsafe(32)}, separators=(",", ":")
)
print(f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}", end="")
