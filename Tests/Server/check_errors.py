"""Every wrong request gets the status and the body of the contract, and nothing of it is logged."""

import json
import socket
import sys
import time

from client import SUM, server
from wrong_requests import BODIES, CHAT, RAW

SECRET = "a-secret-that-no-log-may-hold"


def check_body(content, code=None, param=None):
    error = json.loads(content)["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert error["message"] and isinstance(error["type"], str) and isinstance(error["code"], str), error
    if code:
        assert error["code"] == code, error
    if param:
        assert error["param"] == param, error
    return error


def bodies(client):
    failures = []
    for status, code, param, path, body in BODIES:
        got, headers, content = client.request("POST", path, body)
        try:
            assert got == status, f"{got} instead of {status}"
            assert headers["x-request-id"]
            check_body(content, code, param)
        except AssertionError as error:
            failures.append(f"{path} {json.dumps(body)[:160]}: {error}; {content[:200]!r}")
    for raw in RAW:
        got, _, content = client.request("POST", CHAT, raw=raw)
        if got != 400 or json.loads(content)["error"]["code"] not in ("invalid_json", "missing"):
            failures.append(f"{raw[:60]!r}: {got} {content[:200]!r}")
    assert not failures, "\n".join(failures)
    return f"{len(BODIES) + len(RAW)} requests"


def streams_fail_with_a_status(client):
    got, _, content = client.request("POST", CHAT, {"messages": SUM, "stream": True, "temperature": -1})
    assert got == 400 and check_body(content, param="temperature")


def paths_and_methods(client):
    for method, path, status in (
        ("GET", "/nothing", 404), ("POST", "/v1/responses", 404), ("POST", "/v1/embeddings", 404), ("GET", "/v1", 404),
        ("GET", CHAT, 405), ("POST", "/v1/models", 405), ("DELETE", "/health", 405), ("PUT", "/tokenize", 405), ("GET", "/v1/models/nobody", 404),
    ):
        got, headers, content = client.request(method, path, {} if method in ("POST", "PUT") else None)
        assert got == status, (method, path, got)
        error = check_body(content)
        assert status != 405 or headers["Allow"], headers
        assert path != "/v1/responses" or "/v1/chat/completions" in error["message"]


def media_types(client):
    for kind, status in (("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("application/json; charset=utf-8", 200), ("APPLICATION/JSON", 200)):
        got, _, content = client.request("POST", "/tokenize", {"prompt": "a"}, headers={"Content-Type": kind})
        assert got == status, (kind, got)


def head_requests(client):
    for path in ("/health", "/v1/models", "/version", "/metrics", "/tokenizer_info"):
        got, headers, content = client.request("HEAD", path)
        assert got == 200 and content == b"" and int(headers["Content-Length"]) > 0, (path, got)


def keys(client):
    client_key, client.key = client.key, None
    for value in (None, "Bearer wrong", "Basic " + SECRET, SECRET, "Bearer"):
        got, headers, content = client.request("GET", "/v1/models", headers={"Authorization": value} if value else None)
        assert got == 401 and headers["WWW-Authenticate"] == "Bearer" and check_body(content, "invalid_api_key"), (value, got)
    for path in ("/health", "/metrics", "/version"):
        assert client.request("GET", path)[0] == 200
    assert client.request("GET", "/v1/models", headers={"Authorization": "bearer " + client_key})[0] == 200
    client.key = client_key


def origins(client):
    for origin, allowed in (("http://localhost:3000", True), ("http://127.0.0.1", True), ("http://localhost.evil.example", False), ("https://page.example", True), ("null", False)):
        for method, status in (("OPTIONS", 204), ("GET", 200)):
            got, headers, _ = client.request(method, "/v1/models", headers={"Origin": origin, "Access-Control-Request-Headers": "authorization"})
            assert got == status and (headers["Access-Control-Allow-Origin"] == origin) == allowed, (origin, method, got)


def sizes(client):
    got, _, content = client.request("POST", "/tokenize", raw=b'{"prompt": "' + b"a" * (1 << 20) + b'"}')
    assert got == 413 and check_body(content, "request_too_large")
    with client.socket() as s:  # announced, and never sent
        s.sendall(f"POST /tokenize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\nContent-Length: 99999999\r\n\r\n".encode())
        assert b" 413 " in s.recv(4096).split(b"\r\n")[0]
    with client.socket() as s:  # in chunks, without a length
        s.sendall(f"POST /tokenize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(100):
                s.sendall(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
        except OSError:
            pass
        answer = b""
        try:
            answer = s.recv(4096)
        except OSError:
            pass
        assert b" 413 " in answer.split(b"\r\n")[0] or answer == b"", answer[:100]
    body = b'{"prompt": "chunks"}'
    with client.socket() as s:
        head = f"POST /tokenize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        s.sendall(head.encode())
        assert s.recv(4096).startswith(b"HTTP/1.1 100 "), "no interim response"
        for byte in body:
            s.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        assert b" 200 " in s.recv(4096).split(b"\r\n")[0]


def slow_clients(client):
    for begin in (b"POST /tokenize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + client.key.encode() + b"\r\nContent-Length: 500\r\n\r\n", b"GET /health HTTP/1.1\r\nX: "):
        with client.socket() as s:
            s.sendall(begin)
            start, answer = time.time(), b""
            s.settimeout(0.2)
            while time.time() - start < 8:  # a byte every 0.2 s: it drips
                try:
                    s.sendall(b"a")
                    piece = s.recv(4096)
                    answer += piece
                    if not piece:
                        break
                except socket.timeout:
                    continue
                except OSError:
                    break
            assert time.time() - start < 6, "a slow client holds its connection"
            assert begin.startswith(b"GET") or b" 408 " in answer.split(b"\r\n")[0], answer[:100]


def keep_alive(client):
    connection = client.connect()
    for path in ("/health", "/v1/models", "/nothing", "/health"):
        connection.request("GET", path, headers=client.headers(False))
        connection.getresponse().read()
    for _ in range(3):
        connection.request("POST", "/tokenize", json.dumps({"prompt": "a"}), client.headers(True))
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["count"] == 1
    connection.request("POST", CHAT, json.dumps({"messages": SUM, "stream": True, "max_tokens": 2}), client.headers(True))
    assert connection.getresponse().read().endswith(b"[DONE]\n\n")
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200


def main():
    failed = 0
    with server("--api-key", SECRET, "--allowed-origins", "https://page.example", "--max-body-bytes", "500000", "--request-timeout", "2") as client:
        client.key = SECRET
        for check in (bodies, streams_fail_with_a_status, paths_and_methods, media_types, head_requests, keys, origins, sizes, slow_clients, keep_alive):
            try:
                note = check(client)
                print(f"ok      {check.__name__.replace('_', ' ')}{f' ({note})' if note else ''}")
            except Exception as error:
                failed += 1
                print(f"FAILED  {check.__name__.replace('_', ' ')}: {type(error).__name__}: {error}")
        assert client.metric("vllm:num_requests_running") == 0
    log = client.log()
    assert SECRET not in log and "wizard" not in log and "hi" not in [w for line in log.splitlines() for w in line.split()], "the log holds a text or a key"
    print("ok      the log holds neither texts nor keys")
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
