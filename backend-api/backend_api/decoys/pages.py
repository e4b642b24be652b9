"""What is shown to whoever asks: the login page of a common product that nobody runs here."""

import base64
import hashlib
from html import escape
from urllib.parse import parse_qsl

STYLE = """\
body{margin:0;font:14px/1.4 sans-serif;background:#f8f8f8;color:#333}
main{width:22em;margin:6em auto;background:#fff;border:1px solid #ddd}
h1{margin:0;padding:.7em 1em;font-size:1.3em;background:#417690;color:#f5dd5d}
form{padding:1.2em}label{display:block;margin:.8em 0 .3em}
input{box-sizing:border-box;width:100%;padding:.5em;border:1px solid #ccc}
button{margin-top:1.2em;padding:.6em 1.4em;border:0;background:#79aec8;color:#fff}
.wrong{margin:1em 1.2em 0;color:#ba2121}"""
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src "
    f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1>
{wrong}<form method="post" action="{path}">
<label for="name">Username</label><input id="name" name="{name_field}" autocomplete="off" maxlength="254" required>
<label for="word">Password</label><input id="word" name="{password_field}" type="password" autocomplete="off" required>
<button>Log in</button>
</form></main></body>
</html>
"""
WRONG = '<p class="wrong">The user name or the password is not correct.</p>\n'

LOGINS = {
    "/admin": ("Site administration", "username", "password"),
    "/admin/login": ("Site administration", "username", "password"),
    "/administrator": ("Administrator", "username", "passwd"),
    "/wp-login.php": ("Log In", "log", "pwd"),
    "/wp-admin": ("Log In", "log", "pwd"),
    "/phpmyadmin": ("phpMyAdmin", "pma_username", "pma_password"),
    "/phpmyadmin/index.php": ("phpMyAdmin", "pma_username", "pma_password"),
    "/pma": ("phpMyAdmin", "pma_username", "pma_password"),
    "/login.php": ("Login", "username", "password"),
    "/user/login": ("Log in", "name", "pass"),
}
"""Title and names of the fields, by path."""
MISSING = ("/.env", "/.git/config", "/.aws/credentials", "/config.php", "/backup.sql", "/xmlrpc.php", "/actuator/env")
"""Files that are asked for and not there."""
NAME_FIELDS = frozenset(name for _, name, _ in LOGINS.values())


def login(path: str, *, wrong: bool) -> str:
    """The page at a path, before and after an attempt."""
    title, name_field, password_field = LOGINS[path]
    return PAGE.format(
        title=escape(title),
        style=STYLE,
        path=escape(path),
        name_field=name_field,
        password_field=password_field,
        wrong=WRONG if wrong else "",
    )


def name_in(body: bytes) -> str | None:
    """The name in a sent form. The password is never looked at."""
    try:
        fields = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=20)
    except ValueError:
        return None
    return next((value for name, value in fields if name in NAME_FIELDS), None)
