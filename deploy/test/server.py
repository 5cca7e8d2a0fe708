"""A server of bundles with every fault that one can have."""

import re
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 64 * 1024


class Content:
    """What an address has: `stop` and `silent` are bytes after which the server goes away, or says nothing more."""

    def __init__(self, data=b"", stop=None, silent=None, has_length=True, has_ranges=True, then=None):
        self.data, self.stop, self.silent, self.has_length, self.has_ranges, self.then = data, stop, silent, has_length, has_ranges, then


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        content = self.server.contents.get(self.path)
        self.close_connection = True
        if content is None:
            self.send_error(404)
            return
        if content.then:
            self.send_response(302)
            self.send_header("Location", content.then)
            self.send_header("Connection", "close")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if content.silent == -1:
            self.server.closing.wait()
            return
        part = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")) if content.has_ranges else None
        if part:
            self.send_part(content.data, *part.groups())
            return
        self.send_response(200)
        if content.has_length:
            self.send_header("Content-Length", str(len(content.data)))
        self.send_header("Connection", "close")
        self.end_headers()
        end = content.stop or content.silent or len(content.data)
        try:
            for at in range(0, end, PIECE):
                self.wfile.write(content.data[at:min(at + PIECE, end)])
            if content.silent:
                self.server.closing.wait()
        except OSError:
            pass  # The other side has gone.

    def send_part(self, data, first, last):
        size = len(data)
        begin = int(first) if first else max(0, size - int(last))
        end = min(int(last) + 1 if first and last else size, size)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        self.wfile.write(data[begin:end])

    def do_HEAD(self):
        self.send_error(501)

    def log_message(self, *_):
        pass


class Server:
    """Three of them: plain, and with a certificate that is known or not to the system, whose list it extends."""

    def __init__(self, folder, host="localhost"):
        self.folder, self.host, self.count, self.servers = folder, host, 0, {}
        for name in ("plain", "known", "unknown"):
            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            server.contents, server.closing = {}, threading.Event()
            if name != "plain":
                server.socket = self.wrapped(name, server.socket)
            self.servers[name] = server

    def wrapped(self, name, socket):
        key, cert = self.folder / f"{name}-key.pem", self.folder / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                        "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{self.host}", "-addext", "basicConstraints=CA:FALSE"],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        # The handshake is for the connection's own thread: a client that says nothing must not stop the others.
        return context.wrap_socket(socket, server_side=True, do_handshake_on_connect=False)

    def certificate(self):
        """Of the one that is to be known."""
        return (self.folder / "known.pem").read_text()

    def __enter__(self):
        for server in self.servers.values():
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        for server in self.servers.values():
            server.closing.set()
            server.shutdown()
            server.server_close()

    def address(self, path, name="plain"):
        port = self.servers[name].server_address[1]
        return f"http://127.0.0.1:{port}/{path}" if name == "plain" else f"https://{self.host}:{port}/{path}"

    def serves(self, data, secure=False, known=False, **faults):
        name = "plain" if not secure else "known" if known else "unknown"
        self.count += 1
        path = f"{self.count}.raucb"
        self.servers[name].contents[f"/{path}"] = Content(data, **faults)
        return self.address(path, name)

    def redirects(self, times, url):
        """An address that leads to `url` by way of others."""
        for _ in range(times):
            self.count += 1
            self.servers["plain"].contents[f"/{self.count}"] = Content(then=url)
            url = self.address(str(self.count))
        return url
