#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A file server over HTTP, with ranges and, by the first part of the path, with faults.

http_server.py FOLDER STATE [--delay MS] [--tls CERT KEY] [--other PORT]

serves FOLDER/NAME as /FAULT/NAME on a free port of 127.0.0.1, writes that port to STATE/port when it
listens, and each request, when it is answered, as a line of STATE/log: path, range, status, bytes, when it
came and when it was answered, in milliseconds, and whether an Authorization came. --delay: before each answer. --other: where /elsewhere/ leads.
"""
import argparse
import email.utils
import http.server
import os
import ssl
import threading
import time

lock = threading.Lock()
seen = {}  # requests of each path


def milliseconds():
    return int(time.monotonic() * 1000)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def note(self, status, sent):
        line = "%s %s %s %d %d %d %s\n" % (self.path, self.headers.get("Range", "-"), status, sent,
                                           self.began, milliseconds(),
                                           "auth" if self.headers.get("Authorization") else "-")
        with lock:
            with open(os.path.join(options.state, "log"), "a") as log:
                log.write(line)

    def refuse(self, status, headers=()):
        body = b"no\n"
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.note(status, len(body))

    def redirect(self, to):
        self.refuse(302, [("Location", to)])

    def do_HEAD(self):
        """For other people's clients, to measure them."""
        file = os.path.join(options.folder, self.path.partition("?")[0].rpartition("/")[2])
        self.send_response(200 if os.path.isfile(file) else 404)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(os.path.getsize(file) if os.path.isfile(file) else 0))
        self.end_headers()

    def do_GET(self):
        self.began = milliseconds()
        path = self.path.partition("?")[0]
        fault, _, name = path[1:].partition("/")
        with lock:
            count = seen[self.path] = seen.get(self.path, 0) + 1
            # a range that is asked for again has the same end
            part = self.path + " -" + self.headers.get("Range", "").rpartition("-")[2]
            again = seen[part] = seen.get(part, 0) + 1
        if options.delay:
            time.sleep(options.delay / 1000)
        if fault == "redirect":
            return self.redirect("/plain/" + name)
        if fault == "loop":
            return self.redirect("/loop/" + name)
        if fault == "elsewhere":
            return self.redirect("http://127.0.0.1:%d/plain/%s" % (options.other, name))
        if fault == "file":
            return self.redirect("file:///etc/passwd")
        if fault == "signed":  # what it leads to is good for thirty requests
            return self.redirect("/until-30/%d/%s" % (count, name))
        if fault == "until-30":
            name = name.partition("/")[2]
            if count > 30:
                return self.refuse(403)
        if fault == "auth" and self.headers.get("Authorization") != "Bearer secret":
            return self.refuse(401)
        if fault == "busy-always" or (fault == "busy" and again == 1):
            return self.refuse(503, [("Retry-After", "0")])
        if fault == "416" and count > 1:
            return self.refuse(416, [("Content-Range", "bytes */10")])
        file = os.path.join(options.folder, os.path.normpath("/" + name)[1:].replace("%20", " "))
        if not os.path.isfile(file):
            return self.refuse(404)
        with open(file, "rb") as data:
            self.send_file(fault, count, again, data)

    def send_file(self, fault, count, again, data):
        st = os.fstat(data.fileno())
        size = st.st_size
        etag = '"%x-%x"' % (st.st_mtime_ns, size)
        if fault == "etag" and count > 2:
            etag = '"another"'
        if fault == "weak":
            etag = "W/" + etag
        if fault == "weak-etag":
            etag = 'W/"%d"' % (count > 2)
        first, last = 0, size - 1
        wanted = self.headers.get("Range")
        partial = bool(wanted) and not fault.startswith("whole")
        if self.headers.get("If-Range", etag) != etag:
            partial = False
        if partial:
            start, _, stop = wanted.partition("=")[2].partition("-")
            first, last = int(start), min(int(stop or size), size - 1)
            if first >= size:
                return self.refuse(416, [("Content-Range", "bytes */%d" % size)])
        length = last - first + 1
        send = length
        self.send_response(206 if partial else 200)
        if partial:
            total = size + 512 if fault == "grows" and count > 1 else size
            shift = 512 if fault == "shifted" and count > 1 else 0
            self.send_header("Content-Range",
                             "bytes %d-%d/%s" % (first + shift, last + shift,
                                                 "*" if fault == "no-total" else total))
        if fault != "no-etag":
            self.send_header("ETag", etag)
        self.send_header("Last-Modified", email.utils.formatdate(st.st_mtime, usegmt=True))
        if fault == "gzip":
            self.send_header("Content-Encoding", "gzip")
        if fault == "whole-unknown":
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.flush()
        if fault == "slow" and count > 1:
            time.sleep(1)
        if fault == "whole-drop" or (fault == "drop" and again == 1):
            send = length // 2
        if fault == "short" and count > 1:
            send = 0
        sent = self.copy(data, first, send)
        if sent < length:
            self.close_connection = True
        self.note(206 if partial else 200, sent)

    def copy(self, data, first, send):
        """How much of it was sent; the client may go."""
        at, end = first, first + send
        try:
            while at < end:
                n = self.copy_some(data, at, end - at)
                if n == 0:
                    break
                at += n
        except (BrokenPipeError, ConnectionResetError):
            pass
        return at - first

    def copy_some(self, data, at, most):
        if options.tls:
            data.seek(at)
            return self.wfile.write(data.read(min(most, 1 << 18)))
        return os.sendfile(self.connection.fileno(), data.fileno(), at, most)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):
        pass


parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("state")
parser.add_argument("--delay", type=float, default=0)
parser.add_argument("--tls", nargs=2)
parser.add_argument("--other", type=int)
options = parser.parse_args()
server = Server(("127.0.0.1", 0), Handler)
if options.tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*options.tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(os.path.join(options.state, "new"), "w") as port:
    port.write("%d\n" % server.server_address[1])
os.rename(os.path.join(options.state, "new"), os.path.join(options.state, "port"))
server.serve_forever()
