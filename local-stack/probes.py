"""Is it really ready? One question per kind of server, answered with None for yes or with what is missing."""

import base64
import http.client
import socket

_SECONDS = 3.0


def tcp(port: int) -> str | None:
    """Something accepts connections on this port of the loopback interface."""
    try:
        socket.create_connection(("127.0.0.1", port), _SECONDS).close()
    except OSError as error:
        return f"port {port} does not answer ({error})"
    return None


def http_ok(port: int, path: str, user: str = "", password: str = "") -> str | None:
    """A GET answers 200."""
    headers = {"Accept": "application/json"}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(300).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{path} on port {port} does not answer ({error})"
    finally:
        connection.close()
    return None if answer.status == 200 else f"{path} on port {port} answers {answer.status} {body}"


def redis(port: int, password: str) -> str | None:
    """PING is answered after logging in with the password of the settings."""
    request = f"*2\r\n$4\r\nAUTH\r\n${len(password.encode())}\r\n{password}\r\n*1\r\n$4\r\nPING\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
            connection.sendall(request.encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(200)):
                answer += part
    except OSError as error:
        return f"Redis on port {port} does not answer ({error})"
    return None if answer == b"+OK\r\n+PONG\r\n" else f"Redis on port {port} answers {answer!r}"
